output "firewall_group_id" {
  description = "Firewall group to put the nodes in."
  value       = vultr_firewall_group.this.id
}

output "vpc_id" {
  description = "Network to attach the nodes to."
  value       = vultr_vpc.this.id
}
