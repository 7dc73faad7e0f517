"""The routes of /v2, one module per chapter of Vultr's API documentation."""
