terraform {
  # 1.12 is the first OpenTofu whose destroy guards can be lifted by a variable.
  required_version = ">= 1.12.0"

  required_providers {
    vultr = {
      source = "vultr/vultr"
      # 2.32 creates instances on today's Vultr that it cannot read afterwards (the VPC2 endpoints are gone): fail at init, for free, instead.
      version = ">= 2.33.0, < 3.0.0"
    }
  }
}
