"""A Vultr on one machine: the API, the provider stand-in, the host image, the toolchain."""
