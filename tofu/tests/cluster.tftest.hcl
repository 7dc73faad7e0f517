# What the defaults make, and what the few variables that shape a cluster change in it.
mock_provider "vultr" {
  mock_data "vultr_os" {
    defaults = { id = "2625", family = "debian" }
  }

  mock_data "vultr_plan" {
    defaults = { monthly_cost = 20, locations = ["ams", "ewr", "fra", "jnb"] }
  }

  mock_data "vultr_object_storage_tier" {
    defaults = {
      id    = 2
      price = 18
      locations = [
        { id = 2, region = "ewr", name = "ewr1", hostname = "ewr1.vultrobjects.com" },
        { id = 6, region = "ams", name = "ams1", hostname = "ams1.vultrobjects.com" },
        { id = 11, region = "ams", name = "ams2", hostname = "ams2.vultrobjects.com" },
      ]
    }
  }

  mock_data "vultr_object_storage_cluster" {
    defaults = { id = 6, deploy = "yes", region = "ams" }
  }

  mock_resource "vultr_instance" {
    defaults = { id = "cb676a46-66fd-4dfb-b839-443f2e6c0b60", main_ip = "203.0.113.10", internal_ip = "10.87.0.3" }
  }

  mock_resource "vultr_object_storage" {
    defaults = { id = "9f1c2d3e-1b1b-4b1b-8b1b-123456789abc", region = "ams", s3_hostname = "ams1.vultrobjects.com" }
  }
}

variables {
  admin_cidrs = ["203.0.113.0/24"]
  # A test's apply is followed by a destroy.
  protect_backup_storage = false
  protect_nodes          = false
  ssh_public_keys        = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== somebody@laptop"]
}

run "defaults" {
  assert {
    condition = output.nodes == {
      for name, role in {
        elephant-etcd-1       = "etcd"
        elephant-etcd-2       = "etcd"
        elephant-etcd-3       = "etcd"
        elephant-postgresql-1 = "postgresql"
        elephant-postgresql-2 = "postgresql"
      } : name => { role = role, address = "203.0.113.10", cluster_address = "10.87.0.3" }
    }
    error_message = "The default is two PostgreSQL nodes and three etcd members."
  }

  assert {
    condition     = output.monthly_price == 5 * 20 + 18
    error_message = "The price is that of five nodes and the storage."
  }

  assert {
    condition     = output.backup_storage.label == "elephant-backup" && output.backup_storage.bucket == "elephant-backup-9f1c2d3e"
    error_message = "The playbooks find the storage by its label; the bucket's name holds the start of the subscription's id."
  }

  assert {
    condition     = strcontains(output.next_steps, "playbooks/provision/ha.yml") && !strcontains(output.next_steps, "CLUSTER=")
    error_message = "The next step is the playbook, and the default cluster needs no CLUSTER."
  }

  assert {
    condition     = length(output.ssh_keys) == 1 && startswith(output.ssh_keys[0], "elephant somebody@laptop ")
    error_message = "A given key is named after its comment."
  }
}

run "a_pair_without_patroni" {
  command = plan

  variables {
    cluster_name = "pair"
    etcd_nodes   = 0
  }

  assert {
    condition     = join(" ", keys(output.nodes)) == "pair-postgresql-1 pair-postgresql-2"
    error_message = "Without etcd there are only the PostgreSQL nodes."
  }

  assert {
    condition     = strcontains(output.next_steps, "export CLUSTER=pair") && strcontains(output.next_steps, "playbooks/replication/configure.yml")
    error_message = "A pair is set up by the replication playbook, and another name than the default has to be exported."
  }
}

run "backups_switched_off" {
  command = plan

  variables {
    backup_storage = { enabled = false }
  }

  assert {
    condition     = output.backup_storage == null && output.monthly_price == 5 * 20
    error_message = "Storage that is switched off is neither made nor paid."
  }
}

run "everything_grows" {
  command = plan

  variables {
    etcd_nodes       = 5
    postgresql_nodes = 3
  }

  assert {
    condition     = length(output.nodes) == 8
    error_message = "Three PostgreSQL nodes and five etcd members are eight."
  }
}
