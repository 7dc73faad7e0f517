"""The stand-in says to the API what the real provider was recorded to say: the same calls, in the same order, with the same bodies."""

import json
from typing import Any

import pytest

from .conftest import Root
from .recordings import RECORDED, Lives, boil_down
from .stub import Vultr

BASIC = """
variable "stage" {
  default = "test"
}

data "vultr_os" "debian" {
  filter {
    name   = "name"
    values = ["Debian 12 x64 (bookworm)"]
  }
}

data "vultr_plan" "small" {
  filter {
    name   = "id"
    values = ["vhf-1c-2gb"]
  }
}

data "vultr_region" "here" {
  filter {
    name   = "id"
    values = ["ams"]
  }
}

data "vultr_object_storage_cluster" "here" {
  filter {
    name   = "hostname"
    values = ["ams1.vultrobjects.com"]
  }
}

data "vultr_object_storage_tier" "fast" {
  filter {
    name   = "slug"
    values = ["tier_010k_5000m"]
  }
}

resource "vultr_vpc" "this" {
  region         = data.vultr_region.here.id
  description    = "h1"
  v4_subnet      = "10.20.0.0"
  v4_subnet_mask = 24
}

resource "vultr_ssh_key" "this" {
  name    = "h1"
  ssh_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEE h1"
}

resource "vultr_firewall_group" "this" {
  description = "h1"
}

resource "vultr_firewall_rule" "ping" {
  firewall_group_id = vultr_firewall_group.this.id
  ip_type           = "v4"
  protocol          = "icmp"
  subnet            = "0.0.0.0"
  subnet_size       = 0
}

resource "vultr_firewall_rule" "ssh" {
  firewall_group_id = vultr_firewall_group.this.id
  ip_type           = "v4"
  protocol          = "tcp"
  subnet            = "203.0.113.0"
  subnet_size       = 24
  port              = "22"
  notes             = "ssh"
}

resource "vultr_instance" "this" {
  for_each          = { etcd1 = "etcd", etcd2 = "etcd", etcd3 = "etcd", pg1 = "pg", pg2 = "pg" }
  region            = "ams"
  plan              = data.vultr_plan.small.id
  os_id             = data.vultr_os.debian.id
  label             = "h1-${each.key}"
  hostname          = each.key
  tags              = ["role=${each.value}", "cluster=h1", "env=${var.stage}"]
  ssh_key_ids       = [vultr_ssh_key.this.id]
  vpc_ids           = [vultr_vpc.this.id]
  firewall_group_id = vultr_firewall_group.this.id
}

resource "vultr_object_storage" "this" {
  cluster_id = data.vultr_object_storage_cluster.here.id
  tier_id    = data.vultr_object_storage_tier.fast.id
  label      = "h1-backup"
}

resource "vultr_object_storage_bucket" "this" {
  object_storage_id = vultr_object_storage.this.id
  name              = "h1-pgbackrest"
  enable_versioning = true
}
"""

EXTRAS = """
variable "second" {
  default = false
}

resource "vultr_vpc" "this" {
  region      = "ams"
  description = var.second ? "d2" : "h1x"
}

resource "vultr_instance" "this" {
  count     = 2
  region    = "ams"
  plan      = "vhf-1c-2gb"
  os_id     = 2136
  label     = "h1x-${count.index}"
  hostname  = "h1x-${count.index}"
  tags      = ["x"]
  vpc_ids   = [vultr_vpc.this.id]
  user_data = "#cloud-config\\n"
}

resource "vultr_load_balancer" "this" {
  region              = "ams"
  label               = var.second ? "h1-lb2" : "h1-lb"
  nodes               = 3
  vpc                 = vultr_vpc.this.id
  balancing_algorithm = "leastconn"
  attached_instances  = [local.first, local.other]

  forwarding_rules {
    frontend_protocol = "tcp"
    frontend_port     = 5432
    backend_protocol  = "tcp"
    backend_port      = 5432
  }

  forwarding_rules {
    frontend_protocol = "tcp"
    frontend_port     = 5433
    backend_protocol  = "tcp"
    backend_port      = 5433
  }

  health_check {
    protocol            = "http"
    port                = var.second ? 8009 : 8008
    path                = "/primary"
    check_interval      = 3
    response_timeout    = 2
    unhealthy_threshold = 2
    healthy_threshold   = 2
  }

  firewall_rules {
    port    = 5432
    ip_type = "v4"
    source  = "203.0.113.0/24"
  }
}

locals {
  first = vultr_instance.this[0].id
  other = vultr_instance.this[1].id
}

resource "vultr_reserved_ip" "this" {
  region      = "ams"
  ip_type     = "v4"
  label       = var.second ? "r2" : "h1-rip"
  instance_id = local.first
}

resource "vultr_block_storage" "this" {
  region               = "ams"
  size_gb              = var.second ? 50 : 40
  label                = "h1-blk"
  block_type           = "high_perf"
  attached_to_instance = local.first
  live                 = true
}
"""


def expected(recording: str, step: str, vpc2: bool) -> Lives:
    """What was recorded; without the requests for VPC 2.0, unless told otherwise."""
    lives = json.loads(RECORDED.read_text())[recording][step]
    return {owner: [call for call in calls if vpc2 or not call[1].endswith("/vpc2")] for owner, calls in lives.items()}


@pytest.mark.parametrize(
    ("recording", "config", "change", "vpc2"),
    [("basic", BASIC, "stage=prod", True), ("basic", BASIC, "stage=prod", False), ("extras", EXTRAS, "second=true", False)],
)
def test_same_conversation(root: Root, vultr: Vultr, recording: str, config: str, change: str, vpc2: bool) -> None:
    names: dict[str, str] = {}
    vultr.page, vultr.pending_polls = 100, 0
    root.write(config)
    if vpc2:
        root.environment["VULTR_STANDIN_VPC2"] = "read"

    def heard() -> Lives:
        exchanges = [(*request, answer) for request, answer in zip(vultr.requests, vultr.answers, strict=True)]
        vultr.requests.clear()
        vultr.answers.clear()
        return boil_down(exchanges, names)

    def check(step: str, run: Any, code: int = 0) -> None:
        assert run.code == code, run.out
        assert heard() == expected(recording, step, vpc2)

    check("apply", root.apply())
    check("plan", root.plan())
    check("change", root.apply("-var", change))
    check("plan2", root.plan("-var", change))
    check("destroy", root.destroy("-var", change))
    assert not any(vultr.objects.values())
