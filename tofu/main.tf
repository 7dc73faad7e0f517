# One private network, the nodes in it, and a place for their backups.
module "network" {
  source = "./modules/network"

  admin_cidrs = var.admin_cidrs
  name        = var.cluster_name
  protect     = var.protect_nodes
  region      = var.region
  vpc_subnet  = var.vpc_subnet
}

module "nodes" {
  source = "./modules/nodes"

  cluster_name      = var.cluster_name
  firewall_group_id = module.network.firewall_group_id
  nodes             = local.nodes
  operating_system  = var.operating_system
  protect           = var.protect_nodes
  region            = var.region
  ssh_public_keys   = local.ssh_public_keys
  vpc_id            = module.network.vpc_id
}

module "backup_storage" {
  source = "./modules/backup_storage"

  enabled      = var.backup_storage.enabled
  name         = "${var.cluster_name}-backup"
  nodes_region = var.region
  protect      = var.protect_backup_storage
  region       = var.backup_storage.region
  tier         = var.backup_storage.tier
}
