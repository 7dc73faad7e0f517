"""The life of a root module under the stand-in: quiet plans, changes in place and by replacement, drift, import, destroy."""

import json

import pytest

from .conftest import Root
from .stub import KEY, Vultr

NODE = """
resource "vultr_vpc" "this" {
  region = "ams"
}

resource "vultr_instance" "this" {
  region   = "ams"
  plan     = "vhf-1c-2gb"
  os_id    = 2625
  label    = "node"
  hostname = "node"
  tags     = %s
  vpc_ids  = [vultr_vpc.this.id]
}
"""
TAGGED = NODE % '["a", "b"]'


def bodies(vultr: Vultr, method: str, part: str = "") -> list[dict]:
    """Bodies of the requests with a method, of those whose path has `part`."""
    return [body for verb, path, body in vultr.requests if verb == method and part in path]


def test_says_once_what_it_is(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    run = root.apply()
    assert run.code == 0, run.out
    assert run.out.count("This is Elephant's stand-in for vultr/vultr") == 1
    assert "for vultr/vultr" not in root.run("validate", "-no-color").out


def test_change_of_tags(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    assert root.plan().code == 0
    for tags, sent in (('["b", "a"]', None), ('["b"]', ["b"]), ("null", [])):
        vultr.requests.clear()
        root.write(NODE % tags)
        run = root.apply()
        assert run.code == 0, run.out
        assert [body["tags"] for body in bodies(vultr, "PATCH")] == ([] if sent is None else [sent]), tags
    root.write(NODE % "[]")
    assert root.plan().code == 0


def test_change_of_size(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    root.write(TAGGED.replace("vhf-1c-2gb", "vhf-2c-4gb"))
    run = root.apply()
    assert run.code == 0, run.out
    assert "0 added, 1 changed, 0 destroyed" in run
    assert bodies(vultr, "PATCH")[0]["plan"] == "vhf-2c-4gb"
    assert root.plan().code == 0


def test_change_of_hostname_replaces(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    first = vultr.only("instances")["id"]
    root.write(TAGGED.replace('hostname = "node"', 'hostname = "other"'))
    run = root.plan()
    assert run.code == 2
    assert '"node" -> "other" # forces replacement' in run
    run = root.apply()
    assert run.code == 0, run.out
    assert vultr.only("instances")["id"] != first
    assert root.plan().code == 0


def test_networks_come_and_go_in_place(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    (old,) = vultr.objects["vpcs"]
    more = 'resource "vultr_vpc" "other" {\n  region = "ams"\n}\n'
    root.write(TAGGED.replace("[vultr_vpc.this.id]", "[vultr_vpc.other.id]") + more)
    run = root.apply()
    assert run.code == 0, run.out
    (patch,) = bodies(vultr, "PATCH")
    (new,) = set(vultr.objects["vpcs"]) - {old}
    assert (patch["attach_vpc"], patch["detach_vpc"]) == ([new], [old])
    assert root.plan().code == 0


def test_drift_is_seen_and_repaired(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    vultr.only("instances")["label"] = "renamed"
    vultr.only("vpcs")["description"] = "touched"
    run = root.plan()
    assert run.code == 2
    assert '"renamed" -> "node"' in run
    run = root.apply()
    assert "0 added, 2 changed, 0 destroyed" in run
    assert vultr.only("instances")["label"] == "node"
    assert root.plan().code == 0


@pytest.mark.parametrize("spared", [True, False])
def test_a_server_removed_elsewhere_is_made_again(root: Root, vultr: Vultr, spared: bool) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    if not spared:
        vultr.objects["instances"].clear()
    run = root.plan()
    assert run.code == (0 if spared else 2), run.out
    run = root.apply()
    assert f"{0 if spared else 1} added, 0 changed, 0 destroyed" in run


def test_import(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    for address in ("vultr_instance.this", "vultr_vpc.this"):
        found = root.state(address)["id"]
        assert root.run("state", "rm", address).code == 0
        run = root.run("import", "-no-color", address, found)
        assert run.code == 0, run.out
    state = root.state("vultr_instance.this")
    assert state["default_password"] is None
    # As with the real provider an import does not know the networks: the next apply attaches what is attached.
    assert root.plan().code == 2
    vultr.requests.clear()
    assert "0 added, 1 changed, 0 destroyed" in root.apply()
    assert bodies(vultr, "PATCH")[0]["attach_vpc"] == [root.state("vultr_vpc.this")["id"]]
    assert root.plan().code == 0


def test_import_of_what_is_not_there(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    run = root.run("import", "-no-color", "vultr_vpc.this", "no-such-id")
    assert run.code == 1
    assert "Cannot import non-existent remote object" in run


def test_import_by_other_names(root: Root, vultr: Vultr) -> None:
    config = """
resource "vultr_firewall_group" "this" {}

resource "vultr_firewall_rule" "this" {
  firewall_group_id = vultr_firewall_group.this.id
  ip_type           = "v6"
  protocol          = "tcp"
  subnet            = "2001:DB8:0::"
  subnet_size       = 32
  port              = "5432"
}

resource "vultr_object_storage" "this" {
  cluster_id = 6
  tier_id    = 3
}

resource "vultr_object_storage_bucket" "this" {
  object_storage_id = vultr_object_storage.this.id
  name              = "bucket"
  enable_lock       = true
}
"""
    root.write(config)
    run = root.apply()
    assert run.code == 0, run.out
    assert root.plan().code == 0
    group, storage = vultr.only("firewalls")["id"], vultr.only("object-storage")["id"]
    assert root.state("vultr_object_storage_bucket.this")["id"] == f"{storage}_bucket"
    assert bodies(vultr, "POST", "/bucket") == [{"name": "bucket", "enable_object_lock": True}]
    assert root.run("state", "rm", "vultr_firewall_rule.this", "vultr_object_storage.this").code == 0
    wrong = root.run("import", "-no-color", "vultr_firewall_rule.this", "1")
    assert (wrong.code, "invalid import format" in wrong) == (1, True)
    assert root.run("import", "vultr_firewall_rule.this", f"{group},1").code == 0
    assert root.run("import", "vultr_object_storage.this", storage).code == 0
    run = root.plan()
    assert run.code == 0, run.out


def test_backups_need_a_schedule(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED.replace('label    = "node"', 'backups = "enabled"'))
    run = root.apply()
    assert (run.code, "Backups are set to enabled please provide a backups_schedule" in run) == (1, True)
    assert not vultr.objects["instances"]
    schedule = 'backups = "enabled"\n  backups_schedule {\n    type = "weekly"\n    hour = 3\n    dow = 1\n  }'
    root.write(TAGGED.replace('label    = "node"', schedule))
    run = root.apply()
    assert run.code == 0, run.out
    assert bodies(vultr, "POST", "/backup-schedule") == [{"type": "weekly", "hour": 3, "dow": 1}]
    assert root.plan().code == 0
    root.write(TAGGED)
    run = root.apply()
    assert run.code == 0, run.out
    vultr.only("instances")["_schedule"] = {"enabled": False}
    assert root.plan().code == 0
    vultr.requests.clear()
    root.write(TAGGED.replace('label    = "node"', 'backups = "enabled"\n  backups_schedule {\n    type = "daily"\n  }'))
    run = root.apply()
    assert run.code == 0, run.out
    assert bodies(vultr, "POST", "/backup-schedule") == [{"type": "daily", "hour": 0, "dow": 0}]
    assert root.plan().code == 0


def test_a_load_balancer_with_everything(root: Root, vultr: Vultr) -> None:
    plain = """
resource "vultr_load_balancer" "this" {
  region = "AMS"
%s
  forwarding_rules {
    frontend_protocol = "tcp"
    frontend_port     = 5432
    backend_protocol  = "tcp"
    backend_port      = 5432
  }
}
"""
    root.write(plain % "")
    run = root.apply()
    assert run.code == 0, run.out
    assert "health_check" not in bodies(vultr, "POST")[0]
    run = root.plan()
    assert run.code == 0, run.out
    rule = '  firewall_rules {\n    port = 5432\n    ip_type = "v4"\n    source = "cloudflare"\n  }\n'
    more = '  cookie_name = "c"\n  http_version = 3\n  nodes = 3\n' + rule
    root.write(plain % more)
    run = root.apply()
    assert run.code == 0, run.out
    (patch,) = bodies(vultr, "PATCH")
    assert patch == {
        **{"region": "AMS", "nodes": 3, "ssl_redirect": False, "proxy_protocol": False, "http2": True, "http3": True},
        **{"sticky_session": {"cookie_name": "c"}, "firewall_rules": [{"port": 5432, "ip_type": "v4", "source": "cloudflare"}]},
    }
    run = root.plan()
    assert run.code == 0, run.out
    assert root.destroy().code == 0
    assert not vultr.objects["load-balancers"]


def test_addresses_and_volumes_move(root: Root, vultr: Vultr) -> None:
    config = (
        TAGGED
        + """
resource "vultr_reserved_ip" "this" {
  region      = "ams"
  ip_type     = "v4"
  instance_id = %s
}

resource "vultr_block_storage" "this" {
  region               = "ams"
  size_gb              = 40
  attached_to_instance = %s
}
"""
    )
    here = "vultr_instance.this.id"
    root.write(config % (here, here))
    run = root.apply()
    assert run.code == 0, run.out
    run = root.plan()
    assert run.code == 0, run.out
    assert vultr.only("blocks")["attached_to_instance"] == vultr.only("instances")["id"]
    root.write(config % ('""', '""'))
    run = root.apply()
    assert run.code == 0, run.out
    assert (vultr.only("blocks")["attached_to_instance"], vultr.only("reserved-ips")["instance_id"]) == ("", "")
    assert root.plan().code == 0
    assert root.destroy().code == 0


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ('name = "family"\n values = ["debian"]', "your search returned too many results"),
        ('name = "family"\n values = ["plan9"]', "no results were found"),
        ('name = "colour"\n values = ["red"]', "no results were found"),
        ('name = "id"\n values = ["2284"]', ""),
    ],
)
def test_a_data_source_finds_exactly_one(root: Root, vultr: Vultr, filters: str, error: str) -> None:
    root.write(f'data "vultr_os" "x" {{\n filter {{\n {filters}\n }}\n}}\n output "os" {{\n value = data.vultr_os.x\n}}')
    run = root.apply()
    if error:
        assert (run.code, error in run) == (1, True), run.out
    else:
        told = json.loads(root.run("output", "-json", "os").out)
        assert {name: told[name] for name in ("id", "name", "arch")} == {"id": "2284", "name": "Ubuntu 24.04 LTS x64", "arch": "x64"}
        # The third of three at two a page: the cursor was followed.
        assert ("GET", "/v2/os?cursor=2", None) in vultr.requests


def test_all_data_sources(root: Root, vultr: Vultr) -> None:
    wanted = {
        "vultr_plan": (
            "monthly_cost",
            "5.5",
            {"id": "vc2-1c-1gb", "monthly_cost": 5.5, "locations": ["ams"], "gpu_type": "", "gpu_vram": 0},
        ),
        "vultr_region": ("city", "Frankfurt", {"id": "fra", "country": "DE", "options": []}),
        "vultr_object_storage_cluster": ("hostname", "ams1.vultrobjects.com", {"id": 6, "region": "ams"}),
        "vultr_object_storage_tier": ("slug", "tier_004k_2500m", {"id": 2, "price": 18, "rate_limit_operations": 4000}),
    }
    text = "".join(
        f'data "{kind}" "x" {{\n filter {{\n name = "{name}"\n values = ["{value}"]\n }}\n}}\n'
        f'output "{kind}" {{\n value = data.{kind}.x\n}}\n'
        for kind, (name, value, _) in wanted.items()
    )
    root.write(text + 'data "vultr_plan" "both" {\n filter {\n name = "locations"\n values = ["fra", "ams"]\n }\n}\n')
    run = root.apply()
    assert run.code == 0, run.out
    told = json.loads(root.run("output", "-json").out)
    for kind, (_, _, expected) in wanted.items():
        assert {name: told[kind]["value"][name] for name in expected} == expected
    places = told["vultr_object_storage_tier"]["value"]["locations"]
    assert places == [{"id": 6, "region": "ams", "hostname": "ams1.vultrobjects.com", "name": "Amsterdam 1"}]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('label    = "node"', 'backups = "on"', 'expected backups to be one of ["enabled" "disabled"], got on'),
        ("os_id    = 2625", 'snapshot_id = "x"\n  os_id = 1', "Please do not set snapshot_id with os_id"),
        ("os_id    = 2625", "", "error occurred while getting your intended os type"),
        (
            'region = "ams"',
            'region = "ams"\n  v4_subnet = "10.0.0.0/8"',
            "expected v4_subnet to contain a valid IPv4 address, got: 10.0.0.0/8",
        ),
    ],
)
def test_refusals(root: Root, vultr: Vultr, old: str, new: str, error: str) -> None:
    root.write(TAGGED.replace(old, new, 1))
    run = root.apply()
    assert (run.code, error in run) == (1, True), run.out
    assert not bodies(vultr, "POST", "/instances")


def test_the_key_is_never_shown(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    run = root.apply(TF_LOG="trace")
    assert run.code == 0
    vultr.fault("GET", "/instances/", 500, '{"error":"boom","status":500}', times=9)
    failed = root.apply(TF_LOG="trace")
    assert failed.code == 1
    assert KEY not in run.out + failed.out + (root.folder / "terraform.tfstate").read_text()
