variable "cluster_name" {
  description = "Value of the nodes' cluster= tag."
  type        = string
  nullable    = false
}

variable "firewall_group_id" {
  description = "Firewall group of the nodes' public side."
  type        = string
  nullable    = false
}

variable "nodes" {
  description = "The nodes by name. The name becomes label and host name, and is the node's name in the inventory."
  type = map(object({
    plan = string
    role = string
  }))
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.nodes) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "Not a host name: ${join(", ", [for name in keys(var.nodes) : jsonencode(name) if !can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])}. Use at most 63 lower-case letters, digits and hyphens, with no hyphen first or last."
  }

  validation {
    condition     = length(distinct([for name in keys(var.nodes) : lower(name)])) == length(var.nodes)
    error_message = "Two nodes have the same name but for its case (${join(", ", keys(var.nodes))}): the inventory would take them for one host. Give each a name of its own."
  }

  validation {
    condition     = alltrue([for node in var.nodes : contains(["etcd", "postgresql"], node.role)])
    error_message = "A node's role is \"etcd\" or \"postgresql\", not ${join(", ", distinct([for node in var.nodes : jsonencode(node.role) if !contains(["etcd", "postgresql"], node.role)]))}."
  }
}

variable "operating_system" {
  description = "Name of the image of new nodes, as Vultr lists it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^(Debian|Ubuntu) \\d", var.operating_system))
    error_message = "operating_system = \"${var.operating_system}\": Elephant installs Debian packages, so name an image of Debian or Ubuntu as Vultr lists it, for example \"Debian 13 x64 (trixie)\"."
  }
}

variable "protect" {
  description = "Refuse a plan that would destroy a node."
  type        = bool
  default     = true
  nullable    = false
}

variable "region" {
  description = "Vultr region."
  type        = string
  nullable    = false
}

variable "ssh_public_keys" {
  description = "SSH public keys of root on new nodes, one line each as in a .pub file."
  type        = list(string)
  nullable    = false

  validation {
    condition = alltrue([
      for key in var.ssh_public_keys : can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\\.com) [A-Za-z0-9+/]+=*( [^\n]*)?$", trimspace(key)))
    ])
    error_message = "ssh_public_keys holds something that is not one line of an SSH public key: give the content of a .pub file, for example \"ssh-ed25519 AAAA... you@laptop\"."
  }
}

variable "vpc_id" {
  description = "Private network of the nodes."
  type        = string
  nullable    = false
}
