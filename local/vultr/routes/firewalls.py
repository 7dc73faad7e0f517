"""Firewall groups and their rules. They are kept and shown, but no packet is filtered by them: README.md says so."""

from __future__ import annotations

import re
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any, Literal

from fastapi import APIRouter, Response

from local.vultr.errors import bad_request, not_found
from local.vultr.routes.common import DESCRIPTION_LENGTH, Body, P, Page, done
from local.vultr.state import FirewallGroup, FirewallRule, State, new_id, now

router = APIRouter(prefix="/v2/firewalls")
MAX_RULES = 50


class CreateGroup(Body):
    description: str = ""


class CreateRule(Body):
    ip_type: Literal["v4", "v6"]
    protocol: Literal["icmp", "tcp", "udp", "gre", "ah", "esp"]
    subnet: str
    subnet_size: int
    port: str = ""
    source: str = ""
    notes: str = ""


def find(state: State, group_id: str) -> FirewallGroup:
    if group_id not in state.firewall_groups:
        raise not_found("Firewall group not found")
    return state.firewall_groups[group_id]


def _find_rule(group: FirewallGroup, rule_id: str) -> FirewallRule:
    for rule in group.rules:
        if str(rule.id) == rule_id:
            return rule
    raise not_found("Firewall rule ID not found")


def _shown(group: FirewallGroup, state: State) -> dict[str, Any]:
    return {
        "id": group.id,
        "description": group.description,
        "date_created": group.date_created,
        "date_modified": group.date_modified,
        "rule_count": len(group.rules),
        "instance_count": sum(one.firewall_group_id == group.id for one in state.instances.values()),
        "max_rule_count": MAX_RULES,
    }


def _shown_rule(rule: FirewallRule) -> dict[str, Any]:
    return {**asdict(rule), "action": "accept"}


def _check(body: CreateRule) -> None:
    version = 4 if body.ip_type == "v4" else 6
    try:
        fits = ip_address(body.subnet).version == version
    except ValueError:
        fits = False
    if not fits:
        raise bad_request(f"Invalid subnet: '{body.subnet}' is not an IP{body.ip_type} address.")
    if not 0 <= body.subnet_size <= (32 if version == 4 else 128):
        raise bad_request(f"Invalid subnet_size: {body.subnet_size}.")
    if body.protocol in ("tcp", "udp"):
        ports = [int(port) for port in body.port.split(":")] if re.fullmatch(r"\d{1,5}(:\d{1,5})?", body.port) else []
        if not ports or not all(0 < port < 65536 for port in ports) or ports != sorted(ports):
            raise bad_request(f"Invalid port: '{body.port}' is not a port or a range such as 8000:8010.")
    elif body.port:
        raise bad_request(f"Invalid port: {body.protocol} has no ports.")


@router.get("")
def list_groups(parts: P, page: Page) -> dict[str, Any]:
    with parts.store.read() as state:
        return page.page("firewall_groups", [_shown(group, state) for group in state.firewall_groups.values()])


@router.post("", status_code=201)
def create_group(body: CreateGroup, parts: P) -> dict[str, Any]:
    with parts.store.change() as state:
        group = FirewallGroup(new_id(), body.description[:DESCRIPTION_LENGTH], now(), now())
        state.firewall_groups[group.id] = group
        return {"firewall_group": _shown(group, state)}


@router.get("/{group_id}")
def get_group(group_id: str, parts: P) -> dict[str, Any]:
    with parts.store.read() as state:
        return {"firewall_group": _shown(find(state, group_id), state)}


@router.put("/{group_id}")
def update_group(group_id: str, body: CreateGroup, parts: P) -> Response:
    with parts.store.change() as state:
        group = find(state, group_id)
        group.description, group.date_modified = body.description[:DESCRIPTION_LENGTH], now()
    return done()


@router.delete("/{group_id}")
def delete_group(group_id: str, parts: P) -> Response:
    """As on Vultr, a group in use goes too, and leaves its instances without one."""
    with parts.store.change() as state:
        del state.firewall_groups[find(state, group_id).id]
        for instance in state.instances.values():
            if instance.firewall_group_id == group_id:
                instance.firewall_group_id = ""
    return done()


@router.get("/{group_id}/rules")
def list_rules(group_id: str, parts: P, page: Page) -> dict[str, Any]:
    with parts.store.read() as state:
        return page.page("firewall_rules", [_shown_rule(rule) for rule in find(state, group_id).rules])


@router.post("/{group_id}/rules", status_code=201)
def create_rule(group_id: str, body: CreateRule, parts: P) -> dict[str, Any]:
    with parts.store.change() as state:
        group = find(state, group_id)
        _check(body)
        if len(group.rules) >= MAX_RULES:
            raise bad_request(f"This firewall group has {MAX_RULES} rules, which is the maximum.")
        same = body.model_dump(exclude={"notes"})
        if any(same == {name: getattr(rule, name) for name in same} for rule in group.rules):
            raise bad_request("This rule is already defined ")
        group.last_rule_id += 1
        rule = FirewallRule(id=group.last_rule_id, **body.model_dump())
        group.rules.append(rule)
        group.date_modified = now()
    return {"firewall_rule": _shown_rule(rule)}


@router.get("/{group_id}/rules/{rule_id}")
def get_rule(group_id: str, rule_id: str, parts: P) -> dict[str, Any]:
    with parts.store.read() as state:
        return {"firewall_rule": _shown_rule(_find_rule(find(state, group_id), rule_id))}


@router.delete("/{group_id}/rules/{rule_id}")
def delete_rule(group_id: str, rule_id: str, parts: P) -> Response:
    with parts.store.change() as state:
        group = find(state, group_id)
        group.rules.remove(_find_rule(group, rule_id))
        group.date_modified = now()
    return done()
