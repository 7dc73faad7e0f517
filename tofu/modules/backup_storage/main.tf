# Found by name, as the price list has it: the API's own slugs are not published.
data "vultr_object_storage_tier" "this" { # Invalid API token: see VULTR_API_KEY or vultr_api_key. No results: see backup_storage.tier.
  count = var.enabled ? 1 : 0

  filter {
    name   = "sales_name"
    values = [var.tier]
  }

  lifecycle {
    postcondition {
      condition     = length(setintersection(local.wanted, self.locations[*].region)) > 0
      error_message = "Vultr has no object storage of the tier \"${var.tier}\" ${var.region == null ? "in or near the region \"${var.nodes_region}\"" : "in the region \"${var.region}\""}. Set backup_storage.region to one of ${join(", ", sort(distinct(self.locations[*].region)))}, or make the nodes without it: backup_storage = { enabled = false }."
    }
  }
}

locals {
  wanted    = var.region != null ? [var.region] : concat([var.nodes_region], lookup(local.near, var.nodes_region, []))
  locations = var.enabled ? data.vultr_object_storage_tier.this[0].locations : []
  region    = one(slice([for region in local.wanted : region if contains(local.locations[*].region, region)], 0, var.enabled ? 1 : 0))
  hostnames = sort([for location in local.locations : location.hostname if location.region == local.region])

  # A region can have several clusters, of which only some take new subscriptions.
  clusters = [for hostname in local.hostnames : data.vultr_object_storage_cluster.each[hostname]]
  open     = concat([for cluster in local.clusters : cluster if cluster.deploy == "yes"], local.clusters)
}

data "vultr_object_storage_cluster" "each" {
  for_each = toset(local.hostnames)

  filter {
    name   = "hostname"
    values = [each.value]
  }
}

# A remark on a guarded resource's first line is there because tofu prints that line when it refuses.
# A subscription of its own: Vultr's keys open everything in a subscription.
resource "vultr_object_storage" "this" { # guarded by protect_backup_storage
  count = var.enabled ? 1 : 0

  cluster_id = local.open[0].id
  label      = var.name
  tier_id    = data.vultr_object_storage_tier.this[0].id

  lifecycle {
    prevent_destroy = var.protect

    # Either would be a new, empty storage. What they say counts for a new one only.
    ignore_changes = [cluster_id, tier_id]
  }
}

resource "vultr_object_storage_bucket" "this" { # guarded by protect_backup_storage
  count = var.enabled ? 1 : 0

  # Buckets of all of a cluster's customers share one name space.
  name              = "${var.name}-${substr(vultr_object_storage.this[0].id, 0, 8)}"
  object_storage_id = vultr_object_storage.this[0].id

  lifecycle {
    prevent_destroy = var.protect
    ignore_changes  = [name]
  }
}
