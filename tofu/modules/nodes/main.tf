# The first words with Vultr's API are spoken here. "Invalid API token" means VULTR_API_KEY (or vultr_api_key); "no results" means that Vultr has nothing of that name.
# The remarks on the data lines are for the reader of an error: tofu prints the line.
data "vultr_os" "this" { # Invalid API token: see VULTR_API_KEY or vultr_api_key. No results: see operating_system.
  filter {
    name   = "name"
    values = [var.operating_system]
  }

  lifecycle {
    postcondition {
      condition     = contains(["debian", "ubuntu"], self.family)
      error_message = "operating_system = \"${var.operating_system}\" is of the family \"${self.family}\": Elephant installs Debian packages, so use an image of Debian or Ubuntu, for example \"Debian 13 x64 (trixie)\"."
    }
  }
}

data "vultr_plan" "each" { # Invalid API token: see VULTR_API_KEY or vultr_api_key. No results: Vultr has no plan of this name.
  for_each = toset([for node in var.nodes : node.plan])

  filter {
    name   = "id"
    values = [each.value]
  }

  lifecycle {
    postcondition {
      condition     = contains(self.locations, var.region)
      error_message = "Vultr does not offer the plan \"${each.value}\" in the region \"${var.region}\". Choose another plan (postgresql_plan, etcd_plan), or a region that has it: ${join(", ", sort(self.locations))}."
    }
  }
}

locals {
  # Keyed by the key itself, so that neither its order in the list nor its comment matters.
  ssh_keys = { for key in var.ssh_public_keys : substr(sha256(regex("^\\S+ \\S+", trimspace(key))), 0, 12) => trimspace(key)... }
}

resource "vultr_ssh_key" "each" {
  for_each = local.ssh_keys

  # Its comment says whose it is. Vultr cuts names at 128 characters.
  name    = substr(join(" ", compact([var.cluster_name, regex("^\\S+ \\S+ ?(.*)$", each.value[0])[0], each.key])), 0, 128)
  ssh_key = each.value[0]
}

resource "vultr_instance" "each" { # guarded by protect_nodes
  for_each = var.nodes

  firewall_group_id = var.firewall_group_id
  hostname          = each.key
  label             = each.key
  os_id             = tonumber(data.vultr_os.this.id)
  plan              = each.value.plan
  region            = var.region
  ssh_key_ids       = [for key in vultr_ssh_key.each : key.id]
  tags              = ["cluster=${var.cluster_name}", "role=${each.value.role}"]

  # At creation: a network that is attached later reboots the node. One only: with two Vultr's API no longer says which address is which.
  vpc_ids = [var.vpc_id]

  lifecycle {
    prevent_destroy = var.protect

    # Vultr makes a new, empty server for a change of any of these. What they say counts for new nodes only.
    ignore_changes = [app_id, hostname, image_id, os_id, script_id, snapshot_id, ssh_key_ids, user_data, user_scheme]
  }
}
