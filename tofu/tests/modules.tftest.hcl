# What each resource is told, module by module.
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

run "network" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    admin_cidrs = ["203.0.113.7/32", "2001:db8::/48"]
    name        = "elephant"
    region      = "ams"
    vpc_subnet  = "192.168.16.0/20"
  }

  assert {
    condition     = vultr_vpc.this.v4_subnet == "192.168.16.0" && vultr_vpc.this.v4_subnet_mask == 20 && vultr_vpc.this.region == "ams"
    error_message = "The network is the one asked for."
  }

  assert {
    condition = toset([for rule in vultr_firewall_rule.ssh : "${rule.ip_type} ${rule.protocol} ${rule.port} ${rule.subnet}/${rule.subnet_size}"]) == toset([
      "v4 tcp 22 203.0.113.7/32", "v6 tcp 22 2001:db8::/48",
    ])
    error_message = "The firewall lets SSH in from the administrators' networks and nothing else."
  }
}

run "nodes" {
  module {
    source = "./modules/nodes"
  }

  variables {
    cluster_name      = "elephant"
    firewall_group_id = "the-firewall-group"
    nodes             = { elephant-etcd-1 = { plan = "small", role = "etcd" }, elephant-postgresql-1 = { plan = "large", role = "postgresql" } }
    operating_system  = "Debian 13 x64 (trixie)"
    protect           = false
    region            = "ams"
    ssh_public_keys   = ["ssh-ed25519 AAAA one", "ssh-ed25519 AAAA the same again", "ssh-rsa BBBB"]
    vpc_id            = "the-vpc"
  }

  assert {
    condition     = alltrue([for name, node in vultr_instance.each : node.label == name && node.hostname == name])
    error_message = "A node's name is its label and its host name."
  }

  assert {
    condition     = vultr_instance.each["elephant-etcd-1"].tags == toset(["cluster=elephant", "role=etcd"]) && vultr_instance.each["elephant-postgresql-1"].tags == toset(["cluster=elephant", "role=postgresql"])
    error_message = "The inventory lives on these two tags."
  }

  assert {
    condition     = vultr_instance.each["elephant-etcd-1"].plan == "small" && vultr_instance.each["elephant-postgresql-1"].plan == "large"
    error_message = "Each role has its plan."
  }

  assert {
    condition     = alltrue([for node in vultr_instance.each : node.vpc_ids == toset(["the-vpc"]) && node.firewall_group_id == "the-firewall-group" && node.os_id == 2625])
    error_message = "A node is made inside the one network and behind the firewall."
  }

  assert {
    condition     = length(vultr_ssh_key.each) == 2 && alltrue([for node in vultr_instance.each : length(node.ssh_key_ids) == 2])
    error_message = "A key that is given twice is one key, and every node has them all."
  }
}

run "storage_in_the_nodes_region" {
  command = plan

  module {
    source = "./modules/backup_storage"
  }

  variables {
    name         = "elephant-backup"
    nodes_region = "ams"
  }

  assert {
    condition     = vultr_object_storage.this[0].cluster_id == 6 && vultr_object_storage.this[0].tier_id == 2 && vultr_object_storage.this[0].label == "elephant-backup"
    error_message = "The storage is in the nodes' region, of the tier that was looked up, and has the label by which the playbooks find it."
  }
}

run "storage_in_the_nearest_region" {
  command = plan

  module {
    source = "./modules/backup_storage"
  }

  variables {
    name         = "elephant-backup"
    nodes_region = "fra"
  }

  assert {
    condition     = keys(data.vultr_object_storage_cluster.each) == ["ams1.vultrobjects.com", "ams2.vultrobjects.com"]
    error_message = "Frankfurt has no object storage: Amsterdam is the nearest that has."
  }
}

run "storage_where_it_is_told" {
  command = plan

  module {
    source = "./modules/backup_storage"
  }

  variables {
    name         = "elephant-backup"
    nodes_region = "ams"
    region       = "ewr"
  }

  assert {
    condition     = keys(data.vultr_object_storage_cluster.each) == ["ewr1.vultrobjects.com"]
    error_message = "A region that was named is not second-guessed."
  }
}
