"""Plans on plain values: defaults, zeros, force-new, and what stays unknown."""

from typing import Any, cast

import pytest
from tf.types import Unknown

from local.provider import schema
from local.provider.planner import blank, plan


def spec(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", schema.load()["resources"][name])


def test_create_fills_defaults_and_leaves_the_rest_to_the_api() -> None:
    planned, replace = plan(spec("vultr_vpc"), None, blank(spec("vultr_vpc")) | {"region": "ams"})
    assert planned == dict.fromkeys(("id", "date_created", "v4_subnet", "v4_subnet_mask"), Unknown) | {"region": "ams", "description": ""}
    assert replace == []


def state(**values: Any) -> dict[str, Any]:
    told = {"id": "1", "region": "ams", "plan": "small", "os_id": 1, "user_scheme": "root", "backups": "disabled", "iso_id": ""}
    return blank(spec("vultr_instance")) | told | {"ddos_protection": False} | values


@pytest.mark.parametrize(
    ("prior", "proposed"),
    [
        ({"vpc_only": False}, {"vpc_only": None}),
        ({"tags": []}, {"tags": None}),
        ({"tags": None}, {"tags": []}),
        ({"enable_ipv6": None}, {"enable_ipv6": False}),
        ({"region": "ams"}, {"region": "AMS"}),
        ({"user_scheme": "root"}, {"user_scheme": None}),
        ({"ddos_protection": None}, {"ddos_protection": None}),
    ],
)
def test_no_difference(prior: dict[str, Any], proposed: dict[str, Any]) -> None:
    planned, replace = plan(spec("vultr_instance"), state(**prior), state(**proposed))
    assert (planned, replace) == (state(**prior), [])


@pytest.mark.parametrize(
    ("prior", "proposed", "forced"),
    [
        ({"tags": ["a"]}, {"tags": None}, []),
        ({"plan": "small"}, {"plan": "large"}, []),
        ({"hostname": "a"}, {"hostname": "b"}, ["hostname"]),
        ({"vpc_only": None}, {"vpc_only": True}, ["vpc_only"]),
        ({"region": "ams"}, {"region": "fra"}, ["region"]),
        ({"os_id": 1}, {"os_id": Unknown}, ["os_id"]),
        ({"ssh_key_ids": ["a", "b"]}, {"ssh_key_ids": ["b", "a"]}, ["ssh_key_ids"]),
        ({"user_scheme": "limited"}, {"user_scheme": None}, ["user_scheme"]),
    ],
)
def test_difference(prior: dict[str, Any], proposed: dict[str, Any], forced: list[str]) -> None:
    planned, replace = plan(spec("vultr_instance"), state(**prior), state(**proposed))
    assert planned != state(**prior)
    assert replace == forced


def test_block_devices_force_a_new_server() -> None:
    device = {"block_id": None, "bootable": True, "disk_size": 10, "label": None}
    assert plan(spec("vultr_instance"), state(), state(block_devices=[device]))[1] == ["block_devices"]


def test_two_spellings_of_an_address_are_one() -> None:
    rule = blank(spec("vultr_firewall_rule")) | {"id": "1", "subnet": "2001:db8::", "notes": "", "port": "", "subnet_size": 32}
    planned, replace = plan(spec("vultr_firewall_rule"), rule, rule | {"subnet": "2001:DB8:0::0"})
    assert (planned, replace) == (rule, [])


def test_a_health_check_that_is_not_configured_stays() -> None:
    balancer = blank(spec("vultr_load_balancer")) | {"id": "1", "health_check": [{"port": 80}]}
    assert plan(spec("vultr_load_balancer"), balancer, balancer | {"health_check": []})[0]["health_check"] == [{"port": 80}]


def test_defaults_and_unknowns_inside_blocks() -> None:
    nothing = spec("vultr_load_balancer")["blocks"]
    rule = dict.fromkeys(nothing["forwarding_rules"]["attributes"]) | {"frontend_port": 80}
    check = dict.fromkeys(nothing["health_check"]["attributes"]) | {"port": 80, "protocol": "tcp"}
    proposed = blank(spec("vultr_load_balancer")) | {"forwarding_rules": [rule], "health_check": [check]}
    planned, _ = plan(spec("vultr_load_balancer"), None, proposed)
    assert planned["forwarding_rules"][0]["rule_id"] is Unknown
    assert planned["health_check"][0] == {
        **{"port": 80, "protocol": "tcp", "path": "/", "check_interval": 15},
        **{"response_timeout": 5, "unhealthy_threshold": 5, "healthy_threshold": 5},
    }
