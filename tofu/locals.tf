locals {
  # The name is the key: a cluster that is given another name would be another cluster, and the destroy guard says so.
  nodes = merge(
    { for number in range(1, var.postgresql_nodes + 1) : "${var.cluster_name}-postgresql-${number}" => { role = "postgresql", plan = var.postgresql_plan } },
    { for number in range(1, var.etcd_nodes + 1) : "${var.cluster_name}-etcd-${number}" => { role = "etcd", plan = var.etcd_plan } },
  )

  # What ssh-keygen leaves in ~/.ssh, without certificates and whatever else ends in .pub.
  ssh_public_key_files = {
    for name in fileset(pathexpand("~/.ssh"), "*.pub") : "~/.ssh/${name}" => trimspace(file(pathexpand("~/.ssh/${name}")))
    if !endswith(name, "-cert.pub") && can(regex("^(ssh-|ecdsa-|sk-)", file(pathexpand("~/.ssh/${name}"))))
  }
  ssh_public_keys = var.ssh_public_keys == null ? values(local.ssh_public_key_files) : var.ssh_public_keys

  price = module.nodes.monthly_price + module.backup_storage.monthly_price
}
