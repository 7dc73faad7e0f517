output "monthly_price" {
  description = "List price of the nodes in US dollars a month."
  value       = sum(concat([0], [for node in var.nodes : data.vultr_plan.each[node.plan].monthly_cost]))
}

output "nodes" {
  description = "The nodes by name."
  value = {
    for name, instance in vultr_instance.each : name => {
      address         = instance.main_ip
      cluster_address = instance.internal_ip
      id              = instance.id
      role            = var.nodes[name].role
    }
  }
}

output "ssh_key_names" {
  description = "Names under which the SSH keys are known to Vultr."
  value       = [for key in vultr_ssh_key.each : key.name]

  # Judged here and not at the variable: who destroys a cluster needs no key.
  precondition {
    condition     = length(var.ssh_public_keys) > 0
    error_message = "No SSH public key was given in ssh_public_keys and none was found in ~/.ssh/*.pub, so nobody could log in to the nodes. Make one with: ssh-keygen -t ed25519"
  }
}
