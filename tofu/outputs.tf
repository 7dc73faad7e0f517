output "backup_storage" {
  description = "Where the backups go, or null. The keys stay in the encrypted state and in Vultr's API."
  value       = module.backup_storage.storage
}

output "monthly_price" {
  description = "List price of all this in US dollars a month, as Vultr's API states it today."
  value       = local.price
}

output "nodes" {
  description = "Each node's public address (SSH) and cluster address (everything else)."
  value       = { for name, node in module.nodes.nodes : name => { role = node.role, address = node.address, cluster_address = node.cluster_address } }
}

output "ssh_keys" {
  description = "The SSH keys that root was given on the nodes made by this apply."
  value       = var.ssh_public_keys == null ? keys(local.ssh_public_key_files) : module.nodes.ssh_key_names
}

output "next_steps" {
  description = "What to type next."
  value       = <<-EOT
    cd ..
    python3 -m venv .venv && . .venv/bin/activate && python3 -m pip install -r requirements.txt
    export VULTR_API_KEY=...${var.cluster_name == "elephant" ? "" : "\nexport CLUSTER=${var.cluster_name}"}
    ansible-playbook -i inventories/vultr.yml ./playbooks/${var.etcd_nodes > 0 ? "provision/ha.yml" : "replication/configure.yml"}
  EOT
}
