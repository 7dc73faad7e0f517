"""Instances over time, faults, and a state that outlives its process."""

from __future__ import annotations

import time

import pytest

from local.vultr.engine import EngineError

from .conftest import SSH_KEY, Vultr, until


def test_an_instance_goes_through_vultrs_states(vultr: Vultr) -> None:
    vultr.machines.booted.clear()
    vultr.faults(slow_boot=0.3)
    made = vultr.instance("one", wait=False, attach_vpc=[vultr.vpc()])
    assert (made["status"], made["power_status"], made["server_status"]) == ("pending", "stopped", "none")
    assert (made["main_ip"], made["internal_ip"]) == ("0.0.0.0", "") and made["default_password"]
    until(lambda: vultr.get(made["id"])["status"] == "active")
    one = vultr.get(made["id"])
    assert (one["power_status"], one["server_status"]) == ("running", "installingbooting")
    assert (one["main_ip"], one["internal_ip"]) == ("203.0.113.10", "10.20.0.3")
    assert "default_password" not in one
    vultr.machines.booted.set()
    assert vultr.settled(made["id"])["server_status"] == "ok"


def test_addresses_are_handed_out_in_order_and_again(vultr: Vultr) -> None:
    vpc = vultr.vpc()
    one, two = (vultr.instance(label, attach_vpc=[vpc]) for label in ("one", "two"))
    assert [one["internal_ip"], two["internal_ip"]] == ["10.20.0.3", "10.20.0.4"]
    vultr.call("DELETE", f"/v2/instances/{one['id']}", status=204)
    three = vultr.instance("three", attach_vpc=[vpc])
    assert (three["internal_ip"], three["main_ip"]) == ("10.20.0.3", one["main_ip"])


def test_power(vultr: Vultr) -> None:
    path = f"/v2/instances/{vultr.instance('one')['id']}"
    for _ in range(2):
        vultr.call("POST", f"{path}/halt", status=204)
        assert vultr.call("GET", path)["instance"]["power_status"] == "stopped"
    vultr.call("POST", f"{path}/start", status=204)
    until(lambda: vultr.call("GET", path)["instance"]["server_status"] == "ok")
    assert vultr.machines.boots == 2
    vultr.call("POST", f"{path}/reboot", status=204)
    assert vultr.call("GET", path)["instance"]["power_status"] == "running" and vultr.machines.boots == 3


def test_a_machine_that_died_or_vanished_shows_and_starts_again(vultr: Vultr) -> None:
    one = vultr.instance("one")
    vultr.machines.on.clear()
    assert vultr.get(one["id"])["power_status"] == "stopped"
    assert vultr.client.get("/_emu/health").json()["stopped"] == ["one"]
    vultr.machines.on.add(one["id"])
    assert vultr.settled(one["id"])["power_status"] == "running"
    vultr.machines.remove(one["id"])
    assert vultr.call("GET", "/v2/instances")["instances"][0]["power_status"] == "stopped"
    assert vultr.client.get("/_emu/health").json()["lost"] == ["one"]
    vultr.call("POST", f"/v2/instances/{one['id']}/start", status=204)
    again = vultr.settled(one["id"])
    assert (again["power_status"], again["main_ip"]) == ("running", one["main_ip"])


def test_a_machine_that_cannot_be_made_says_why(vultr: Vultr) -> None:
    def full(_: object) -> None:
        raise EngineError("The disk is full.")

    start, vultr.machines.start = vultr.machines.start, full
    one = vultr.instance("one", wait=False)
    until(lambda: vultr.get(one["id"])["status"] != "pending")
    vultr.machines.start = start
    assert vultr.get(one["id"])["status"] == "failed: The disk is full."
    vultr.call("POST", f"/v2/instances/{one['id']}/start", status=204)
    assert vultr.settled(one["id"])["status"] == "active"


def test_updates(vultr: Vultr) -> None:
    one = vultr.instance("one", tags=["a"], plan="vhp-1c-2gb-amd")
    path = f"/v2/instances/{one['id']}"
    quiet = {"label": "one", "enable_ipv6": False, "ddos_protection": None, "tags": None}
    assert vultr.call("PATCH", path, quiet, 202)["instance"]["tags"] == ["a"]
    assert vultr.call("PATCH", path, {**quiet, "tags": ["b", "c"]}, 202)["instance"]["tags"] == ["b", "c"]
    assert vultr.call("PATCH", path, {**quiet, "tags": []}, 202)["instance"]["tags"] == []
    bigger = vultr.call("PATCH", path, {"plan": "vhp-2c-4gb-amd"}, 202)["instance"]
    assert (bigger["plan"], bigger["ram"], bigger["vcpu_count"]) == ("vhp-2c-4gb-amd", 4096, 2) and vultr.machines.boots == 2
    assert "does not downgrade" in vultr.error("PATCH", path, {"plan": "vhp-1c-2gb-amd"})
    vultr.call("POST", f"{path}/backup-schedule", {"type": "weekly", "dow": 3}, 204)
    schedule = vultr.call("GET", f"{path}/backup-schedule")["backup_schedule"]
    assert (schedule["enabled"], schedule["type"], schedule["dow"]) == (True, "weekly", 3)
    vultr.call("PATCH", path, {"backups": "disabled"}, 202)
    assert vultr.call("GET", f"{path}/backup-schedule")["backup_schedule"] == {"enabled": False}


def test_vpcs_are_joined_and_left(vultr: Vultr) -> None:
    first, second = vultr.vpc("10.20.0.0"), vultr.vpc("10.21.0.0")
    one = vultr.instance("one", attach_vpc=[first])
    path = f"/v2/instances/{one['id']}"
    vultr.call("PATCH", path, {"attach_vpc": [first]}, 202)
    rows = vultr.call("GET", f"{path}/vpcs")["vpcs"]
    assert rows == [{"id": first, "mac_address": "02:42:0a:14:00:03", "ip_address": "10.20.0.3"}]
    assert vultr.call("PATCH", path, {"attach_vpc": [second]}, 202)["instance"]["internal_ip"] == ""
    assert len(vultr.machines.plugged[one["id"]]) == 2
    vultr.call("PATCH", path, {"tags": None, "detach_vpc": [first], "ddos_protection": None}, 202)
    assert vultr.get(one["id"])["internal_ip"] == "10.21.0.3"
    assert [row["id"] for row in vultr.call("GET", f"/v2/vpcs/{second}/attachments")["attachments"]] == [one["id"]]
    assert vultr.error("DELETE", f"/v2/vpcs/{second}") == "The following servers are attached to this VPC network: one"
    vultr.call("DELETE", path, status=204)
    vultr.call("DELETE", f"/v2/vpcs/{second}", status=204)
    assert vultr.machines.networks.keys() == {f"elephant-test-vpc-{first[:8]}"}


def test_a_vpc_without_a_range_gets_one(vultr: Vultr) -> None:
    body = {"region": "ams", "description": "", "v4_subnet": "", "v4_subnet_mask": 0}
    ranges = [vultr.call("POST", "/v2/vpcs", body, 201)["vpc"] for _ in range(2)]
    assert [(vpc["v4_subnet"], vpc["v4_subnet_mask"]) for vpc in ranges] == [("10.64.0.0", 20), ("10.64.16.0", 20)]
    assert "all VPCs share one machine" in vultr.error("POST", "/v2/vpcs", {**body, "v4_subnet": "10.64.1.0", "v4_subnet_mask": 24})


def test_who_may_log_in_and_user_data(vultr: Vultr) -> None:
    key = vultr.call("POST", "/v2/ssh-keys", {"name": "k", "ssh_key": SSH_KEY}, 201)["ssh_key"]["id"]
    one = vultr.instance("one", sshkey_id=[key], user_data="I2Nsb3VkLWNvbmZpZwo=")
    assert vultr.machines.made[one["id"]].authorized_keys == [SSH_KEY]
    assert vultr.call("GET", f"/v2/instances/{one['id']}/user-data") == {"user_data": {"data": "I2Nsb3VkLWNvbmZpZwo="}}


def test_a_reinstalled_machine_is_blank_and_keeps_its_addresses(vultr: Vultr) -> None:
    one = vultr.instance("one", attach_vpc=[vultr.vpc()])
    first = vultr.machines.made[one["id"]]
    assert vultr.call("POST", f"/v2/instances/{one['id']}/reinstall", status=202)["instance"]["status"] == "pending"
    again = vultr.settled(one["id"])
    assert again["internal_ip"] == one["internal_ip"] and vultr.machines.made[one["id"]] is not first


def test_the_state_outlives_the_process(vultr: Vultr) -> None:
    vpc = vultr.vpc()
    one = vultr.instance("one", attach_vpc=[vpc], tags=["role=etcd"])
    group = vultr.call("POST", "/v2/firewalls", {"description": "g"}, 201)["firewall_group"]
    rule = {"ip_type": "v4", "protocol": "tcp", "subnet": "0.0.0.0", "subnet_size": 0, "port": "22"}
    vultr.call("POST", f"/v2/firewalls/{group['id']}/rules", rule, 201)
    key, before = vultr.key, vultr.call("GET", f"/v2/firewalls/{group['id']}/rules/1")
    vultr.restart()
    assert vultr.key == key
    assert vultr.get(one["id"]) == one
    assert vultr.call("GET", f"/v2/firewalls/{group['id']}/rules/1") == before
    assert vultr.call("GET", f"/v2/vpcs/{vpc}")["vpc"]["v4_subnet"] == "10.20.0.0"


def test_a_process_that_died_in_the_middle_is_taken_up(vultr: Vultr) -> None:
    vultr.faults(slow_boot=30)
    one = vultr.instance("one", wait=False)
    assert vultr.get(one["id"])["status"] == "pending"
    vultr.restart()
    assert vultr.settled(one["id"])["status"] == "active"


def test_a_restart_of_the_engine_powers_everything_on_again(vultr: Vultr) -> None:
    one, two, off = (vultr.instance(label) for label in ("one", "two", "off"))
    vultr.call("POST", f"/v2/instances/{off['id']}/halt", status=204)
    vultr.machines.on.discard(two["id"])
    vultr.restart()
    assert [vultr.get(each["id"])["power_status"] for each in (one, two, off)] == ["running", "stopped", "stopped"]
    vultr.machines.on.clear()
    vultr.restart()
    assert [vultr.settled(each["id"])["power_status"] for each in (one, two)] == ["running", "running"]
    assert vultr.get(off["id"])["power_status"] == "stopped"


def test_a_half_written_state_file_is_never_read(vultr: Vultr) -> None:
    vultr.vpc()
    (vultr.state / ".state.json.new").write_text('{"format": 1, "vp')
    vultr.restart()
    assert len(vultr.call("GET", "/v2/vpcs")["vpcs"]) == 1


# Faults


def test_fault_a_503_after_the_create_took_place(vultr: Vultr) -> None:
    vultr.faults(after_create_503=1, path="/v2/instances")
    vultr.vpc()
    body = {"region": "ams", "plan": "vhp-1c-2gb-amd", "os_id": 2625, "label": "twin", "hostname": "twin"}
    vultr.call("POST", "/v2/instances", body, 503)
    vultr.call("POST", "/v2/instances", body, 202)
    assert [row["label"] for row in vultr.call("GET", "/v2/instances")["instances"]] == ["twin", "twin"]


def test_fault_429_with_retry_after(vultr: Vultr) -> None:
    vultr.faults(too_many_requests=2, retry_after=7)
    headers = {"Authorization": f"Bearer {vultr.key}"}
    answers = [vultr.client.get("/v2/instances", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"


def test_fault_unavailable_does_nothing(vultr: Vultr) -> None:
    vultr.faults(unavailable=1)
    vultr.call("POST", "/v2/vpcs", {"region": "ams"}, 503)
    assert vultr.call("GET", "/v2/vpcs")["vpcs"] == []


def test_fault_slow_boot(vultr: Vultr) -> None:
    vultr.faults(slow_boot=0.4)
    started = time.monotonic()
    one = vultr.instance("one", wait=False)
    vultr.settled(one["id"])
    assert time.monotonic() - started >= 0.4


def test_fault_a_vpc_stays_busy_after_its_last_instance(vultr: Vultr) -> None:
    vultr.faults(vpc_busy=60)
    vpc = vultr.vpc()
    one = vultr.instance("one", attach_vpc=[vpc])
    vultr.call("DELETE", f"/v2/instances/{one['id']}", status=204)
    assert "attached to this VPC network" in vultr.error("DELETE", f"/v2/vpcs/{vpc}")
    vultr.faults(vpc_busy=0)
    until(lambda: vultr.client.delete(f"/v2/vpcs/{vpc}", headers={"Authorization": f"Bearer {vultr.key}"}).status_code == 204)


def test_fault_neighbors(vultr: Vultr) -> None:
    one, two = vultr.instance("one"), vultr.instance("two")
    assert vultr.call("GET", f"/v2/instances/{one['id']}/neighbors") == {"neighbors": []}
    vultr.faults(neighbors=[["one", "two"]])
    assert vultr.call("GET", f"/v2/instances/{one['id']}/neighbors") == {"neighbors": [two["id"]]}


@pytest.mark.parametrize("wrong", [{"colour": 1}, {"slow_boot": -1}, {"after_create_503": "1"}])
def test_a_fault_that_does_not_exist_is_refused(vultr: Vultr, wrong: dict) -> None:
    vultr.error("PUT", "/_emu/faults", wrong)


def test_faults_need_the_key_and_can_be_cleared(vultr: Vultr) -> None:
    assert vultr.client.put("/_emu/faults", json={"unavailable": 9}).status_code == 401
    vultr.faults(slow_boot=5)
    assert vultr.call("GET", "/_emu/faults")["slow_boot"] == 5
    vultr.call("DELETE", "/_emu/faults", status=204)
    assert vultr.call("GET", "/_emu/faults")["slow_boot"] == 0
