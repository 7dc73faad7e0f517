output "monthly_price" {
  description = "Base price of the storage in US dollars a month."
  value       = var.enabled ? data.vultr_object_storage_tier.this[0].price : 0
}

output "storage" {
  description = "Where the backups go, without the keys; null when there is no backup storage."
  value = var.enabled ? {
    bucket   = vultr_object_storage_bucket.this[0].name
    hostname = vultr_object_storage.this[0].s3_hostname
    label    = vultr_object_storage.this[0].label
    region   = vultr_object_storage.this[0].region
  } : null
}
