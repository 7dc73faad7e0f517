# Every guardrail, seen refusing.
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
  admin_cidrs     = ["203.0.113.0/24"]
  ssh_public_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== somebody@laptop"]

  # For the modules.
  cluster_name      = "elephant"
  firewall_group_id = "the-firewall-group"
  name              = "elephant"
  nodes             = { elephant-postgresql-1 = { plan = "large", role = "postgresql" } }
  nodes_region      = "ams"
  operating_system  = "Debian 13 x64 (trixie)"
  region            = "ams"
  vpc_id            = "the-vpc"
  vpc_subnet        = "10.87.0.0/24"
}

# Each run is a row of wrong values, and every one of them has to be refused.
run "cluster_first_row" {
  command = plan

  variables {
    backup_storage = { tier = "Archive" }
    cluster_name   = "Elephant"
    etcd_nodes     = 1
    region         = "Amsterdam"
    vultr_api_key  = ""
  }

  expect_failures = [var.backup_storage, var.cluster_name, var.etcd_nodes, var.region, var.vultr_api_key]
}

run "cluster_second_row" {
  command = plan

  variables {
    cluster_name  = "elephant-"
    etcd_nodes    = 4
    vultr_api_key = "two words"
  }

  expect_failures = [var.cluster_name, var.etcd_nodes, var.vultr_api_key]
}

run "cluster_third_row" {
  command = plan

  variables {
    cluster_name = "a23456789012345678901234567890123"
    etcd_nodes   = 3.5
  }

  expect_failures = [var.cluster_name, var.etcd_nodes]
}

run "no_postgresql_node" {
  command = plan

  variables {
    postgresql_nodes = 0
  }

  expect_failures = [var.postgresql_nodes]
}

run "half_a_postgresql_node" {
  command = plan

  variables {
    postgresql_nodes = 2.5
  }

  expect_failures = [var.postgresql_nodes]
}

run "one_postgresql_node_with_etcd" {
  command = plan

  variables {
    postgresql_nodes = 1
  }

  expect_failures = [var.postgresql_nodes]
}

run "ssh_open_to_the_world" {
  command = plan

  variables {
    admin_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [check.admin_cidrs]
}

run "ssh_open_to_half_the_world" {
  command = plan

  variables {
    admin_cidrs = ["203.0.113.7/32", "128.0.0.0/1"]
  }

  expect_failures = [check.admin_cidrs]
}

run "network_first_row" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    admin_cidrs = []
    vpc_subnet  = "8.8.8.0/24"
  }

  expect_failures = [var.admin_cidrs, var.vpc_subnet]
}

run "network_second_row" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    admin_cidrs = ["203.0.113.7"]
    vpc_subnet  = "172.0.0.0/8"
  }

  expect_failures = [var.admin_cidrs, var.vpc_subnet]
}

run "network_third_row" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    admin_cidrs = ["203.0.113.7/24"]
    vpc_subnet  = "10.87.0.0/25"
  }

  expect_failures = [var.admin_cidrs, var.vpc_subnet]
}

run "network_fourth_row" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    vpc_subnet = "10.0.0.0/15"
  }

  expect_failures = [var.vpc_subnet]
}

run "network_fifth_row" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    vpc_subnet = "10.87.0.5/24"
  }

  expect_failures = [var.vpc_subnet]
}

run "network_sixth_row" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    vpc_subnet = "10.87.0.0"
  }

  expect_failures = [var.vpc_subnet]
}

run "network_seventh_row" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    vpc_subnet = "fd00::/24"
  }

  expect_failures = [var.vpc_subnet]
}

run "nodes_first_row" {
  command = plan

  module {
    source = "./modules/nodes"
  }

  variables {
    nodes            = { "elephant_etcd.1" = { plan = "small", role = "etcd" } }
    operating_system = "Rocky Linux 9 x64"
    ssh_public_keys  = ["-----BEGIN OPENSSH PRIVATE KEY-----"]
  }

  expect_failures = [var.nodes, var.operating_system, var.ssh_public_keys]
}

run "nodes_second_row" {
  command = plan

  module {
    source = "./modules/nodes"
  }

  variables {
    nodes            = { elephant-etcd-1 = { plan = "small", role = "etcd" }, Elephant-etcd-1 = { plan = "small", role = "etcd" } }
    operating_system = "Debian"
    ssh_public_keys  = ["AAAAC3NzaC1lZDI1NTE5AAAAIA=="]
  }

  expect_failures = [var.nodes, var.operating_system, var.ssh_public_keys]
}

run "nodes_third_row" {
  command = plan

  module {
    source = "./modules/nodes"
  }

  variables {
    nodes = { elephant-proxy-1 = { plan = "small", role = "proxy" } }
  }

  expect_failures = [var.nodes]
}

run "no_ssh_key" {
  command = plan

  module {
    source = "./modules/nodes"
  }

  variables {
    ssh_public_keys = []
  }

  expect_failures = [output.ssh_key_names]
}

run "a_plan_that_the_region_lacks" {
  command = plan

  module {
    source = "./modules/nodes"
  }

  variables {
    region = "syd"
  }

  expect_failures = [data.vultr_plan.each["large"]]
}

run "storage_that_is_nowhere_near" {
  command = plan

  module {
    source = "./modules/backup_storage"
  }

  variables {
    nodes_region = "jnb"
    region       = null
  }

  expect_failures = [data.vultr_object_storage_tier.this[0]]
}

run "storage_in_a_region_that_has_none" {
  command = plan

  module {
    source = "./modules/backup_storage"
  }

  variables {
    region = "fra"
  }

  expect_failures = [data.vultr_object_storage_tier.this[0]]
}

# The API's word counts, and not only the name's first one.
run "an_image_that_calls_itself_debian" {
  command = plan

  module {
    source = "./modules/nodes"
  }

  override_data {
    target = data.vultr_os.this
    values = { id = "1", family = "application" }
  }

  expect_failures = [data.vultr_os.this]
}
