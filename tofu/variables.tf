variable "admin_cidrs" {
  description = "Networks that may reach the nodes by SSH. The default is everywhere, with a warning."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false
}

variable "backup_storage" {
  description = "Object storage for backups: whether there is any, where (default: in the nodes' region or the one nearest to it) and its tier, by the name in Vultr's price list."
  type = object({
    enabled = optional(bool, true)
    region  = optional(string)
    tier    = optional(string, "Standard")
  })
  default  = {}
  nullable = false

  validation {
    condition     = lower(var.backup_storage.tier) != "archive"
    error_message = "backup_storage.tier = \"${var.backup_storage.tier}\" cannot be read back at once, so a restore from it would wait for hours: use \"Standard\" or a faster tier."
  }
}

variable "cluster_name" {
  description = "Name of the cluster: the first part of every label, and the cluster= tag by which the inventory finds its nodes."
  type        = string
  default     = "elephant"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", var.cluster_name))
    error_message = "cluster_name = \"${var.cluster_name}\": use 1 to 32 lower-case letters, digits and hyphens, with a letter first and no hyphen last, for example \"elephant\"."
  }
}

variable "etcd_nodes" {
  description = "Number of etcd members: 3 survive the loss of one, 5 of two. 0 makes PostgreSQL nodes without Patroni, for streaming replication."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = contains([0, 3, 5, 7], var.etcd_nodes)
    error_message = "etcd_nodes = ${var.etcd_nodes}: ${var.etcd_nodes == 1 ? "a single member takes the cluster down with it" : "only an odd number from 3 to 7 gains from its last member"}. Use 3 or 5, or 0 for a pair without Patroni."
  }
}

variable "etcd_plan" {
  description = "Vultr plan of an etcd member. Its disk must answer fsync fast: take a plan with NVMe."
  type        = string
  default     = "vhp-1c-2gb-amd"
  nullable    = false
}

variable "operating_system" {
  description = "Name of the image, as Vultr lists it. It counts for new nodes; existing ones keep theirs."
  type        = string
  default     = "Debian 13 x64 (trixie)"
  nullable    = false
}

variable "postgresql_nodes" {
  description = "Number of PostgreSQL nodes: one leader, the others standbys."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.postgresql_nodes >= 1 && var.postgresql_nodes <= 9 && floor(var.postgresql_nodes) == var.postgresql_nodes
    error_message = "postgresql_nodes = ${var.postgresql_nodes}: use a whole number from 1 to 9, for example 2."
  }

  validation {
    condition     = var.postgresql_nodes >= 2 || var.etcd_nodes == 0
    error_message = "postgresql_nodes = ${var.postgresql_nodes} with etcd_nodes = ${var.etcd_nodes}: one PostgreSQL node has nothing to fail over to. Set postgresql_nodes = 2, or etcd_nodes = 0."
  }
}

variable "postgresql_plan" {
  description = "Vultr plan of a PostgreSQL node. It can grow later, in place and with a reboot; it cannot shrink."
  type        = string
  default     = "vhp-2c-4gb-amd"
  nullable    = false
}

variable "protect_backup_storage" {
  description = "Refuse every plan that would destroy the backups. A guard of its own: backups must outlive the cluster."
  type        = bool
  default     = true
  nullable    = false
}

variable "protect_nodes" {
  description = "Refuse every plan that would destroy a node or its network."
  type        = bool
  default     = true
  nullable    = false
}

variable "region" {
  description = "Vultr region of the nodes, for example \"ams\" (Amsterdam) or \"ewr\" (New Jersey)."
  type        = string
  default     = "ams"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{3}$", var.region))
    error_message = "region = \"${var.region}\": use the three letters by which Vultr names the region, for example \"ams\" or \"ewr\"."
  }
}

variable "ssh_public_keys" {
  description = "SSH public keys of root on new nodes. The default, null, takes every key file in ~/.ssh; the output ssh_keys names them."
  type        = list(string)
  default     = null
}

variable "vpc_subnet" {
  description = "Private IPv4 network of the cluster, /16 to /24. It cannot be changed later."
  type        = string
  default     = "10.87.0.0/24"
  nullable    = false
}

variable "vultr_api_key" {
  description = "API key. The default, null, takes the environment's VULTR_API_KEY."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.vultr_api_key == null ? true : can(regex("^\\S+$", var.vultr_api_key))
    error_message = "vultr_api_key is empty or has a blank in it: give the key as Vultr shows it, or leave the variable out and export VULTR_API_KEY."
  }
}
