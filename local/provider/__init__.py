"""A stand-in for the OpenTofu provider vultr/vultr, for machines that cannot reach a provider registry."""

ADDRESS = "registry.opentofu.org/vultr/vultr"
VERSION = "2.33.0"
