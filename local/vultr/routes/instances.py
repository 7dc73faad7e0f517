"""Instances: create, list, read, update, delete."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from local.vultr import catalog
from local.vultr.errors import bad_request, not_emulated
from local.vultr.hosting import find_instance
from local.vultr.routes.common import Body, P, Page, Parts, done
from local.vultr.state import Instance, State, new_id, now

router = APIRouter(prefix="/v2/instances")
MAX_TAGS = 50
MAX_VPCS = 5
HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")


class CreateInstance(Body):
    region: str
    plan: str
    os_id: int | None = None
    label: str = ""
    hostname: str = ""
    tags: list[str] | None = None
    firewall_group_id: str = ""
    sshkey_id: list[str] | None = None
    user_data: str = ""
    user_scheme: str = "root"
    attach_vpc: list[str] | None = None
    backups: str = "disabled"
    activation_email: bool = False
    # Known, and refused when they ask for something: see _refuse_unemulated.
    enable_ipv6: bool | None = None
    disable_public_ipv4: bool | None = None
    vpc_only: bool | None = None
    ddos_protection: bool | None = None
    block_devices: list[dict[str, Any]] | None = None
    attach_vpc2: list[str] | None = None
    iso_id: str = ""
    app_id: int | None = None
    image_id: str = ""
    snapshot_id: str = ""
    script_id: str = ""
    ipxe_chain_url: str = ""
    reserved_ipv4: str = ""
    app_variables: dict[str, str] | None = None


class UpdateInstance(Body):
    label: str | None = None
    tags: list[str] | None = None
    firewall_group_id: str | None = None
    plan: str | None = None
    attach_vpc: list[str] | None = None
    detach_vpc: list[str] | None = None
    backups: str | None = None
    user_data: str | None = None
    enable_ipv6: bool | None = None
    ddos_protection: bool | None = None
    attach_vpc2: list[str] | None = None
    detach_vpc2: list[str] | None = None


UNEMULATED = {
    "enable_ipv6",
    "disable_public_ipv4",
    "vpc_only",
    "ddos_protection",
    "block_devices",
    "attach_vpc2",
    "detach_vpc2",
    "iso_id",
    "app_id",
    "image_id",
    "snapshot_id",
    "script_id",
    "ipxe_chain_url",
    "reserved_ipv4",
    "app_variables",
}


def shown(instance: Instance, parts: Parts) -> dict[str, Any]:
    """An instance as the API shows it.

    The provider replaces an instance whose hostname, os_id, user_scheme or vpc_only is another one here than in its plan.
    """
    plan = catalog.find(catalog.plans(), instance.plan) or {}
    system = catalog.find(catalog.operating_systems(), instance.os_id) or {}
    public, ready = parts.config.public_network, instance.status == "active"
    hours = (datetime.now(UTC) - datetime.fromisoformat(instance.date_created)).total_seconds() / 3600
    return {
        "id": instance.id,
        "os": system.get("name", ""),
        "ram": plan.get("ram", 0),
        "disk": plan.get("disk", 0),
        "main_ip": instance.main_ip if ready else "0.0.0.0",
        "vcpu_count": plan.get("vcpu_count", 0),
        "region": instance.region,
        "plan": instance.plan,
        "date_created": instance.date_created,
        "status": instance.status,
        "allowed_bandwidth": plan.get("bandwidth", 0),
        "netmask_v4": str(public.netmask) if ready else "",
        "gateway_v4": str(public[1]) if ready else "0.0.0.0",
        "power_status": instance.power_status,
        "server_status": instance.server_status,
        "v6_network": "",
        "v6_main_ip": "",
        "v6_network_size": 0,
        "label": instance.label,
        # Empty with no VPC and with two or more.
        "internal_ip": instance.vpcs[0].ip_address if ready and len(instance.vpcs) == 1 else "",
        "kvm": "",
        "hostname": instance.hostname,
        "tag": "",
        "tags": instance.tags,
        "os_id": instance.os_id,
        "app_id": 0,
        "image_id": "",
        "snapshot_id": "",
        "firewall_group_id": instance.firewall_group_id,
        "features": ["auto_backups"] if instance.backup_schedule else [],
        "user_scheme": "root",
        "vpc_only": False,
        "pending_charges": round(min(1 + int(hours), 672) * plan.get("monthly_cost", 0) / 672, 2),
    }


def _refuse_unemulated(body: CreateInstance | UpdateInstance) -> None:
    for name in sorted(UNEMULATED & body.model_fields_set):
        if getattr(body, name):
            raise not_emulated(f"'{name}' for an instance")


def _checked_tags(tags: list[str]) -> list[str]:
    if len(tags) > MAX_TAGS:
        raise bad_request(f"An instance can have at most {MAX_TAGS} tags.")
    return list(dict.fromkeys(tags))


def _checked_user_data(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise bad_request("Invalid user_data: it is not base64.") from error
    return text


def _checked_group(state: State, group_id: str) -> str:
    if group_id and group_id not in state.firewall_groups:
        raise bad_request("Invalid firewall group ID")
    return group_id


def _backups(word: str) -> dict[str, Any]:
    if word not in ("enabled", "disabled"):
        raise bad_request(f"Invalid backups: '{word}' is neither 'enabled' nor 'disabled'.")
    return {"type": "daily", "hour": 10, "dow": 1, "dom": 1} if word == "enabled" else {}


def _check_product(body: CreateInstance, parts: Parts) -> None:
    """Region, plan and operating system exist and go together."""
    if catalog.find(catalog.regions(), body.region.lower()) is None:
        raise bad_request("Invalid region ID")
    if catalog.find(catalog.plans(), body.plan) is None:
        raise bad_request("Invalid plan ID")
    if body.plan not in catalog.available_plans(body.region.lower()):
        raise bad_request(f"Server add failed: plan {body.plan} is not available in region {body.region}")
    if body.os_id is None:
        raise bad_request("Server add failed: os_id is required (iso_id, app_id, image_id and snapshot_id are not emulated).")
    system = catalog.find(catalog.operating_systems(), body.os_id)
    if system is None:
        raise bad_request("Invalid OS ID")
    if not parts.hosting.machines.offers(system["name"]):
        raise not_emulated(f"machine with {system['name']} (os_id {body.os_id}); its image is Debian 13 (os_id 2625)")
    if body.user_scheme != "root":
        raise not_emulated(f"user_scheme '{body.user_scheme}'")


@router.post("", status_code=202)
def create_instance(body: CreateInstance, parts: P) -> dict[str, Any]:
    _refuse_unemulated(body)
    _check_product(body, parts)
    hostname = body.hostname or re.sub(r"[^A-Za-z0-9-]+", "-", body.label).strip("-") or "vultr"
    if not HOSTNAME.fullmatch(hostname):
        raise bad_request(f"Invalid hostname: '{hostname}' has something other than letters, digits, dashes and dots.")
    if problems := parts.hosting.machines.problems():
        raise bad_request(f"Server add failed: {problems[0]}")
    with parts.store.change() as state:
        for key in body.sshkey_id or []:
            if key not in state.ssh_keys:
                raise bad_request(f"Invalid SSH key ID: {key}")
        instance = Instance(
            id=new_id(),
            label=body.label,
            hostname=hostname,
            region=body.region.lower(),
            plan=body.plan,
            os_id=body.os_id or 0,
            tags=_checked_tags(body.tags or []),
            firewall_group_id=_checked_group(state, body.firewall_group_id),
            sshkey_ids=body.sshkey_id or [],
            user_data=_checked_user_data(body.user_data),
            date_created=now(),
            main_ip=parts.hosting.public_address(state),
            vpcs=[parts.hosting.vpc_place(state, vpc) for vpc in dict.fromkeys(body.attach_vpc or [])],
            backup_schedule=_backups(body.backups),
        )
        if len(instance.vpcs) > MAX_VPCS:
            raise bad_request(f"An instance can be in at most {MAX_VPCS} VPC networks.")
        if any(state.vpcs[place.vpc_id].region != instance.region for place in instance.vpcs):
            raise bad_request("Invalid VPC ID: the VPC is in another region.")
        state.instances[instance.id] = instance
    parts.hosting.create(instance.id)
    # Shown this once, as on Vultr; the machine lets root in by key only.
    return {"instance": {**shown(instance, parts), "default_password": secrets.token_urlsafe(12)}}


@router.get("")
def list_instances(
    parts: P,
    page: Page,
    label: str | None = None,
    tag: str | None = None,
    region: str | None = None,
    main_ip: str | None = None,
    hostname: str | None = None,
    firewall_group_id: str | None = None,
) -> dict[str, Any]:
    parts.hosting.reconcile()
    exact = {"label": label, "region": region, "main_ip": main_ip, "hostname": hostname, "firewall_group_id": firewall_group_id}
    with parts.store.read() as state:
        rows = [shown(instance, parts) for instance in state.instances.values()]
    rows = [row for row in rows if all(value is None or row[name] == value for name, value in exact.items())]
    if tag is not None:
        rows = [row for row in rows if tag.lower() in (one.lower() for one in row["tags"])]
    return page.page("instances", rows)


@router.get("/{instance_id}")
def get_instance(instance_id: str, parts: P) -> dict[str, Any]:
    with parts.store.read() as state:
        find_instance(state, instance_id)
    parts.hosting.reconcile()
    with parts.store.read() as state:
        return {"instance": shown(find_instance(state, instance_id), parts)}


@router.patch("/{instance_id}", status_code=202)
def update_instance(instance_id: str, body: UpdateInstance, parts: P) -> dict[str, Any]:
    """A field that is absent or null is left alone; `tags: []` empties them."""
    _refuse_unemulated(body)
    with parts.store.read() as state:
        instance = find_instance(state, instance_id)
        for vpc_id in body.attach_vpc or []:
            if vpc_id not in state.vpcs:
                raise bad_request("Invalid VPC ID")
        _checked_group(state, body.firewall_group_id or "")
        resized = body.plan is not None and body.plan != instance.plan
        if resized:
            _check_resize(instance.plan, body.plan or "", instance.region)
    for vpc_id in body.detach_vpc or []:
        parts.hosting.detach(instance_id, vpc_id)
    for vpc_id in body.attach_vpc or []:
        parts.hosting.attach(instance_id, vpc_id)
    with parts.store.change() as state:
        instance = find_instance(state, instance_id)
        instance.label = instance.label if body.label is None else body.label
        instance.tags = instance.tags if body.tags is None else _checked_tags(body.tags)
        instance.firewall_group_id = body.firewall_group_id or instance.firewall_group_id
        instance.plan = body.plan or instance.plan
        instance.user_data = instance.user_data if body.user_data is None else _checked_user_data(body.user_data)
        if body.backups is not None:
            instance.backup_schedule = _backups(body.backups) and (instance.backup_schedule or _backups(body.backups))
        answer = {"instance": shown(instance, parts)}
    if resized and instance.wanted == "running":
        parts.hosting.power(instance_id, on=True, cut=True)
    return answer


def _check_resize(old: str, new: str, region: str) -> None:
    before, after = catalog.find(catalog.plans(), old), catalog.find(catalog.plans(), new)
    if after is None:
        raise bad_request("Invalid plan ID")
    if new not in catalog.available_plans(region):
        raise bad_request(f"Unable to upgrade: plan {new} is not available in region {region}")
    if before and after["disk"] < before["disk"]:
        raise bad_request(f"Unable to upgrade: plan {new} has a smaller disk than {old}; Vultr does not downgrade.")


@router.delete("/{instance_id}")
def delete_instance(instance_id: str, parts: P) -> Response:
    with parts.store.read() as state:
        find_instance(state, instance_id)
    parts.hosting.destroy(instance_id)
    return done()
