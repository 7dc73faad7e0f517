variable "admin_cidrs" {
  description = "Networks that may reach the nodes by SSH."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.admin_cidrs) > 0
    error_message = "admin_cidrs is empty, so nobody could reach the nodes: name the networks that you administer from, for example [\"203.0.113.7/32\"]."
  }

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrhost(cidr, 0))])
    error_message = "admin_cidrs: ${join(", ", [for cidr in var.admin_cidrs : cidr if !can(cidrhost(cidr, 0))])} is not a network. Write a single address with /32 (IPv4) or /128 (IPv6), for example \"203.0.113.7/32\"."
  }

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : try(cidrhost(cidr, 0) == split("/", cidr)[0], true)])
    error_message = "admin_cidrs: ${join(", ", [for cidr in var.admin_cidrs : "write ${cidrhost(cidr, 0)}/${split("/", cidr)[1]} for ${cidr}" if try(cidrhost(cidr, 0) != split("/", cidr)[0], false)])}."
  }
}

variable "name" {
  description = "Name of the network and its firewall group."
  type        = string
  nullable    = false
}

variable "protect" {
  description = "Refuse a plan that would destroy the network."
  type        = bool
  default     = true
  nullable    = false
}

variable "region" {
  description = "Vultr region."
  type        = string
  nullable    = false
}

variable "vpc_subnet" {
  description = "Private IPv4 network, /16 to /24."
  type        = string
  nullable    = false

  validation {
    condition = try(anytrue([
      for private in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] : cidrcontains(private, var.vpc_subnet)
    ]), false)
    error_message = "vpc_subnet = \"${var.vpc_subnet}\" is not a private IPv4 network: choose one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, for example \"10.87.0.0/24\"."
  }

  validation {
    condition     = try(tonumber(split("/", var.vpc_subnet)[1]) >= 16 && tonumber(split("/", var.vpc_subnet)[1]) <= 24, false)
    error_message = "vpc_subnet = \"${var.vpc_subnet}\": Vultr makes networks from /16 to /24, for example \"10.87.0.0/24\"."
  }

  validation {
    condition     = try(cidrhost(var.vpc_subnet, 0) == split("/", var.vpc_subnet)[0], false)
    error_message = "vpc_subnet = \"${var.vpc_subnet}\" does not start at a network's first address${try(": write \"${cidrhost(var.vpc_subnet, 0)}/${split("/", var.vpc_subnet)[1]}\"", "")}."
  }
}
