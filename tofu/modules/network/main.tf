# The network in which the nodes talk to each other. Vultr gives each node an address in it.
resource "vultr_vpc" "this" { # guarded by protect_nodes
  description    = var.name
  region         = var.region
  v4_subnet      = split("/", var.vpc_subnet)[0]
  v4_subnet_mask = tonumber(split("/", var.vpc_subnet)[1])

  lifecycle {
    # Another subnet or region is another network: every node would lose its address.
    prevent_destroy = var.protect
  }
}

# Vultr's firewall guards the public side only, the private side is the hosts' own business.
resource "vultr_firewall_group" "this" { # guarded by protect_nodes
  description = var.name

  lifecycle {
    # Vultr lets a group go while nodes use it, and leaves them open.
    prevent_destroy = var.protect
  }
}

resource "vultr_firewall_rule" "ssh" {
  for_each = toset(var.admin_cidrs)

  firewall_group_id = vultr_firewall_group.this.id
  ip_type           = strcontains(each.value, ":") ? "v6" : "v4"
  notes             = "SSH for administrators"
  port              = "22"
  protocol          = "tcp"
  subnet            = split("/", each.value)[0]
  subnet_size       = tonumber(split("/", each.value)[1])
}
