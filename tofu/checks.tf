# A warning and not a refusal: it is the default, so that the first apply needs no answer, and SSH takes keys only.
check "admin_cidrs" {
  assert {
    condition     = alltrue([for cidr in var.admin_cidrs : tonumber(split("/", cidr)[1]) >= 8])
    error_message = "SSH on every node is open to the world: admin_cidrs = ${jsonencode(var.admin_cidrs)}. Set it to the networks that you administer from, for example admin_cidrs = [\"203.0.113.7/32\"], and apply again: it changes the firewall alone."
  }
}
