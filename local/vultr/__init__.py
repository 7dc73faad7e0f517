"""A Vultr on one machine: the API that tofu and the inventory talk to, with containers for machines."""
