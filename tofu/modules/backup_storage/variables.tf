variable "enabled" {
  description = "Whether there is backup storage at all."
  type        = bool
  default     = true
  nullable    = false
}

variable "name" {
  description = "Label of the subscription, by which the playbooks find it, and first part of the bucket's name."
  type        = string
  nullable    = false
}

variable "nodes_region" {
  description = "Region of the nodes: the storage is made there, or as near as there is any."
  type        = string
  nullable    = false
}

variable "protect" {
  description = "Refuse a plan that would destroy the backups."
  type        = bool
  default     = true
  nullable    = false
}

variable "region" {
  description = "Region of the storage, where it should not be chosen."
  type        = string
  default     = null
}

variable "tier" {
  description = "Tier, by the name in Vultr's price list."
  type        = string
  default     = "Standard"
  nullable    = false
}
