"""What clients rely on: the wire's form, strictness, refusals in Vultr's words."""

from __future__ import annotations

import json

import pytest

from .conftest import SSH_KEY, Vultr, until

UNKNOWN = "00000000-0000-4000-8000-000000000000"
# The words by which the provider tells "gone" from "broken": anything else is a hard error there.
GONE = {
    f"/v2/instances/{UNKNOWN}": "Invalid instance ID.",
    f"/v2/instances/{UNKNOWN}/vpcs": "Invalid instance ID.",
    f"/v2/firewalls/{UNKNOWN}": "Firewall group not found",
    f"/v2/vpcs/{UNKNOWN}": "Invalid VPC ID",
    f"/v2/ssh-keys/{UNKNOWN}": "Invalid ssh key",
    f"/v2/object-storage/{UNKNOWN}": "Invalid object storage ID",
}


def test_bodies_are_compact_and_plainly_typed(vultr: Vultr) -> None:
    answer = vultr.client.get(f"/v2/firewalls/{UNKNOWN}", headers={"Authorization": f"Bearer {vultr.key}"})
    assert b'"status":404' in answer.content
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", GONE)
def test_what_is_gone_is_said_in_the_words_the_provider_knows(vultr: Vultr, path: str) -> None:
    assert vultr.error("GET", path, status=404) == GONE[path]


@pytest.mark.parametrize("key", [None, "Bearer nope", "nope", "Bearer "])
def test_only_the_local_key_gets_in(vultr: Vultr, key: str | None) -> None:
    answer = vultr.client.get("/v2/instances", headers={"Authorization": key} if key else {})
    assert (answer.status_code, answer.text) == (401, '{"error":"Invalid API token.","status":401}')


def test_a_rejected_key_leaves_no_trace(vultr: Vultr, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    secret = "REAL-KEY-OF-SOMEBODY-0123456789"
    vultr.client.get("/v2/instances", headers={"Authorization": f"Bearer {secret}"})
    vultr.vpc()
    kept = "".join(file.read_text() for file in vultr.state.rglob("*") if file.is_file())
    captured = capfd.readouterr()
    assert secret not in kept + caplog.text + captured.out + captured.err
    assert (vultr.state / "api_key").stat().st_mode & 0o777 == 0o600
    assert (vultr.state / "state.json").stat().st_mode & 0o777 == 0o600


def test_lists_that_vultr_tells_anybody_need_no_key(vultr: Vultr) -> None:
    for path in ("/v2/regions", "/v2/plans", "/v2/os"):
        assert vultr.client.get(path).status_code == 200
        assert vultr.client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize(
    "call",
    ["GET /v2/load-balancers", "POST /v2/blocks", "DELETE /v2/regions", "GET /v2/nothing", "GET /docs", "GET /v2/vpcs/"],
)
def test_what_is_not_emulated_says_so(vultr: Vultr, call: str) -> None:
    method, path = call.split()
    said = vultr.error(method, path, status=501)
    assert said.startswith(f"Not emulated: the local Vultr has no {call}.")


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "/v2/vpcs", {"region": "ams", "colour": "red"}, "Unknown field 'colour'"),
        ("POST", "/v2/vpcs", {"description": "x"}, "Field 'region' is required"),
        ("POST", "/v2/vpcs", {"region": "ams", "v4_subnet_mask": "24"}, "Field 'v4_subnet_mask'"),
        ("POST", "/v2/vpcs", {"region": "moon"}, "Invalid region ID"),
        ("POST", "/v2/vpcs", {"region": "ams", "v4_subnet": "8.8.8.0", "v4_subnet_mask": 24}, "not a private network"),
        ("POST", "/v2/vpcs", {"region": "ams", "v4_subnet": "10.0.0.1", "v4_subnet_mask": 24}, "has host bits set"),
        ("GET", "/v2/instances?colour=red", None, "Unknown query parameter 'colour'"),
        ("GET", "/v2/instances?per_page=501", None, "Field 'per_page'"),
        ("GET", "/v2/instances?cursor=xyz", None, "Invalid cursor 'xyz'"),
        ("POST", "/v2/ssh-keys", {"name": "k", "ssh_key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "Invalid SSH key"),
        ("POST", "/v2/ssh-keys", {"name": "k", "ssh_key": "ssh-ed25519 AAAA me"}, "Invalid SSH key"),
        ("POST", "/v2/object-storage", {"cluster_id": 999, "tier_id": 2}, "Invalid cluster ID"),
        ("POST", "/v2/object-storage", {"cluster_id": 2, "tier_id": 99}, "Invalid tier ID"),
    ],
)
def test_bad_input_gets_a_sentence(vultr: Vultr, method: str, path: str, body: dict | None, words: str) -> None:
    assert words in vultr.error(method, path, body)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"colour": "red"}, 400, "Unknown field 'colour'"),
        ({"region": "moon"}, 400, "Invalid region ID"),
        ({"plan": "vc9-1"}, 400, "Invalid plan ID"),
        ({"region": "mxp", "plan": "voc-g-2c-8gb-50s-amd"}, 400, "is not available in region mxp"),
        ({"os_id": None}, 400, "os_id is required"),
        ({"os_id": 1}, 400, "Invalid OS ID"),
        ({"os_id": 2284}, 501, "Ubuntu 24.04"),
        ({"hostname": "a_b"}, 400, "Invalid hostname"),
        ({"sshkey_id": [UNKNOWN]}, 400, "Invalid SSH key ID"),
        ({"attach_vpc": [UNKNOWN]}, 400, "Invalid VPC ID"),
        ({"firewall_group_id": UNKNOWN}, 400, "Invalid firewall group ID"),
        ({"user_data": "#cloud-config"}, 400, "Invalid user_data"),
        ({"tags": [str(number) for number in range(51)]}, 400, "at most 50 tags"),
        ({"vpc_only": True}, 501, "'vpc_only'"),
        ({"snapshot_id": UNKNOWN}, 501, "'snapshot_id'"),
        ({"user_scheme": "limited"}, 501, "user_scheme 'limited'"),
    ],
)
def test_an_instance_that_cannot_be_is_refused_before_it_is(vultr: Vultr, change: dict, status: int, words: str) -> None:
    body = {"region": "ams", "plan": "vhp-1c-2gb-amd", "os_id": 2625, "label": "one", **change}
    assert words in vultr.error("POST", "/v2/instances", body, status)
    assert vultr.call("GET", "/v2/instances")["instances"] == []


def test_a_body_needs_its_content_type(vultr: Vultr) -> None:
    headers = {"Authorization": f"Bearer {vultr.key}", "Content-Type": "text/plain"}
    answer = vultr.client.post("/v2/ssh-keys", content=json.dumps({"name": "k", "ssh_key": SSH_KEY}), headers=headers)
    assert answer.status_code == 400 and "Content-Type: application/json" in answer.json()["error"]


def test_broken_json_gets_a_sentence(vultr: Vultr) -> None:
    headers = {"Authorization": f"Bearer {vultr.key}", "Content-Type": "application/json"}
    answer = vultr.client.post("/v2/ssh-keys", content="{", headers=headers)
    assert answer.status_code == 400 and "is not JSON" in answer.json()["error"]


def test_pages_end_with_an_empty_string(vultr: Vultr) -> None:
    for number in range(5):
        vultr.call("POST", "/v2/ssh-keys", {"name": str(number), "ssh_key": SSH_KEY}, 201)
    names, cursor, pages = [], "", 0
    while True:
        answer = vultr.call("GET", f"/v2/ssh-keys?per_page=2&cursor={cursor}")
        names += [key["name"] for key in answer["ssh_keys"]]
        cursor, pages = answer["meta"]["links"]["next"], pages + 1
        assert answer["meta"]["total"] == 5
        if cursor == "":
            break
    assert (names, pages) == (["0", "1", "2", "3", "4"], 3)
    assert answer["meta"]["links"]["prev"] != ""


def test_instances_are_filtered(vultr: Vultr) -> None:
    group = vultr.call("POST", "/v2/firewalls", {"description": "g"}, 201)["firewall_group"]["id"]
    one = vultr.instance("one", tags=["role=etcd", "cluster=a"], firewall_group_id=group)
    two = vultr.instance("two", tags=["role=postgresql"], region="fra")

    def found(query: str) -> list[str]:
        return [row["label"] for row in vultr.call("GET", f"/v2/instances?{query}")["instances"]]

    assert found("tag=ROLE%3Detcd") == ["one"]
    assert found("tag=role") == []
    assert found("label=two") == ["two"] and found("label=TWO") == []
    assert found("region=fra") == ["two"]
    assert found(f"main_ip={one['main_ip']}") == ["one"] and found(f"main_ip={two['main_ip']}") == ["two"]
    assert found("hostname=one") == ["one"]
    assert found(f"firewall_group_id={group}") == ["one"]


def test_firewall_rules(vultr: Vultr) -> None:
    group = vultr.call("POST", "/v2/firewalls", {"description": "x" * 300}, 201)["firewall_group"]
    assert len(group["description"]) == 255
    rules = f"/v2/firewalls/{group['id']}/rules"
    ssh = {"ip_type": "v4", "protocol": "tcp", "subnet": "0.0.0.0", "subnet_size": 0, "port": "22", "notes": "ssh"}
    first = vultr.call("POST", rules, ssh, 201)["firewall_rule"]
    assert first["id"] == 1 and first["action"] == "accept" and first["source"] == ""
    assert vultr.error("POST", rules, ssh) == "This rule is already defined "
    assert vultr.call("POST", rules, {**ssh, "port": "8000:8010"}, 201)["firewall_rule"]["id"] == 2
    for wrong in (
        {"port": ""},
        {"port": "0"},
        {"port": "9:1"},
        {"port": "70000"},
        {"subnet": "::"},
        {"subnet_size": 33},
        {"protocol": "icmp"},
    ):
        assert vultr.error("POST", rules, {**ssh, **wrong}).startswith("Invalid ")
    assert vultr.call("GET", f"/v2/firewalls/{group['id']}")["firewall_group"]["rule_count"] == 2
    vultr.call("DELETE", f"{rules}/1", status=204)
    assert vultr.error("GET", f"{rules}/1", status=404) == "Firewall rule ID not found"


def test_the_catalogue_holds_what_the_project_needs(vultr: Vultr) -> None:
    regions = {row["id"] for row in vultr.call("GET", "/v2/regions")["regions"]}
    assert len(regions) == 33
    plans = {row["id"]: row for row in vultr.call("GET", "/v2/plans?per_page=500")["plans"]}
    assert plans["vhp-2c-4gb-amd"]["monthly_cost"] == 24 and set(plans["vhp-2c-4gb-amd"]["locations"]) == regions
    assert [row["id"] for row in vultr.call("GET", "/v2/os")["os"] if row["name"] == "Debian 13 x64 (trixie)"] == [2625]
    assert "vhp-1c-2gb-amd" in vultr.call("GET", "/v2/regions/ams/availability")["available_plans"]
    assert vultr.error("GET", "/v2/regions/moon/availability", status=404) == "Invalid region ID"
    clusters = vultr.call("GET", "/v2/object-storage/clusters")["clusters"]
    assert {"id": 2, "region": "ewr", "name": "ewr1", "hostname": "ewr1.vultrobjects.com", "deploy": "yes"} in clusters
    assert len({row["id"] for row in clusters}) == len(clusters) and {row["region"] for row in clusters} <= regions
    assert [row["slug"] for row in vultr.call("GET", "/v2/object-storage/tiers")["tiers"] if row["price"] == 18] == ["tier_001k_1000m"]


def test_health_marks_the_local_vultr_and_needs_no_key(vultr: Vultr) -> None:
    answer = vultr.client.get("/_emu/health")
    assert answer.status_code == 200 and answer.headers["X-Elephant-Local-Vultr"] == "test"
    assert answer.json()["local_vultr"] is True and answer.json()["cluster"] == "test" and answer.json()["healthy"] is True
    vultr.machines.down = "The engine sleeps."
    assert vultr.client.get("/_emu/health").json()["problems"] == ["The engine sleeps."]


def test_requests_are_counted_by_route(vultr: Vultr) -> None:
    vultr.instance("one")
    counts = vultr.call("GET", "/_emu/requests")
    assert counts["POST /v2/instances"] == 1 and counts["GET /v2/instances/{instance_id}"] > 0
    vultr.call("DELETE", "/_emu/requests", status=204)
    assert "POST /v2/instances" not in vultr.call("GET", "/_emu/requests")


def test_an_engine_that_is_down_is_a_sentence_and_loses_nothing(vultr: Vultr) -> None:
    one = vultr.instance("one")
    vultr.machines.down = "The Docker engine of this machine does not answer."
    assert vultr.error("GET", f"/v2/instances/{one['id']}", status=503) == vultr.machines.down
    assert vultr.error("DELETE", f"/v2/instances/{one['id']}", status=503) == vultr.machines.down
    assert vultr.error("POST", "/v2/vpcs", {"region": "ams"}, status=503) == vultr.machines.down
    vultr.machines.down = ""
    assert vultr.get(one["id"])["power_status"] == "running"


def test_object_storage(vultr: Vultr) -> None:
    made = vultr.call("POST", "/v2/object-storage", {"cluster_id": 6, "tier_id": 2, "label": "backups"}, 202)["object_storage"]
    path = f"/v2/object-storage/{made['id']}"
    until(lambda: vultr.call("GET", path)["object_storage"]["status"] != "pending")
    one = vultr.call("GET", path)["object_storage"]
    assert (one["status"], one["s3_hostname"], one["region"]) == ("active", "ams1.vultrobjects.com", "ams")
    assert vultr.storage.accounts["ams1.vultrobjects.com"] == {one["s3_access_key"]}
    vultr.call("POST", f"{path}/bucket", {"name": "wal", "enable_bucket_versioning": True}, 204)
    assert [row["name"] for row in vultr.call("GET", f"{path}/bucket")["buckets"]] == ["wal"]
    assert "Invalid bucket name" in vultr.error("POST", f"{path}/bucket", {"name": "../etc"})
    assert vultr.error("DELETE", f"{path}/bucket/other", status=404) == "Invalid bucket name"
    vultr.call("PUT", path, {"label": "new"}, 204)
    assert [row["label"] for row in vultr.call("GET", "/v2/object-storage")["object_storages"]] == ["new"]
    vultr.call("DELETE", path, status=204)
    assert vultr.storage.accounts == {} and vultr.error("GET", path, status=404) == "Invalid object storage ID"


def test_vpc2_is_gone_or_empty(vultr: Vultr) -> None:
    one = vultr.instance("one")
    assert vultr.error("GET", f"/v2/instances/{one['id']}/vpc2", status=404) == "Not Found."
    vultr.vpc2 = "empty"
    vultr.restart()
    assert vultr.call("GET", f"/v2/instances/{one['id']}/vpc2")["vpcs"] == []
