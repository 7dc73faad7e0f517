"""Instances: power, networks, backups, user data, neighbours."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response

from local.vultr.errors import not_found
from local.vultr.hosting import find_instance
from local.vultr.routes.common import Body, P, Page, done
from local.vultr.routes.instances import shown

router = APIRouter(prefix="/v2/instances/{instance_id}")


class BackupSchedule(Body):
    type: Literal["daily", "weekly", "monthly", "daily_alt_even", "daily_alt_odd"]
    hour: int | None = None
    dow: int | None = None
    dom: int | None = None


class Reinstall(Body):
    hostname: str = ""


class VpcId(Body):
    vpc_id: str


@router.post("/halt")
def halt_instance(instance_id: str, parts: P) -> Response:
    """A power cut: nothing in the machine is asked first."""
    with parts.store.read() as state:
        find_instance(state, instance_id)
    parts.hosting.power(instance_id, on=False)
    return done()


@router.post("/start")
def start_instance(instance_id: str, parts: P) -> Response:
    """A machine that was removed behind the API's back is made anew, with a blank disk."""
    with parts.store.read() as state:
        find_instance(state, instance_id)
    parts.hosting.power(instance_id, on=True)
    return done()


@router.post("/reboot")
def reboot_instance(instance_id: str, parts: P) -> Response:
    """A power cut, then power."""
    with parts.store.read() as state:
        find_instance(state, instance_id)
    parts.hosting.power(instance_id, on=True, cut=True)
    return done()


@router.post("/reinstall", status_code=202)
def reinstall_instance(instance_id: str, parts: P, body: Reinstall | None = None) -> dict[str, Any]:
    with parts.store.change() as state:
        instance = find_instance(state, instance_id)
        instance.hostname = body.hostname if body and body.hostname else instance.hostname
    parts.hosting.reinstall(instance_id)
    with parts.store.read() as state:
        return {"instance": shown(find_instance(state, instance_id), parts)}


@router.get("/vpcs")
def list_instance_vpcs(instance_id: str, parts: P, page: Page) -> dict[str, Any]:
    with parts.store.read() as state:
        instance = find_instance(state, instance_id)
        places = instance.vpcs if instance.status == "active" else []
        rows = [{"id": place.vpc_id, "mac_address": place.mac_address, "ip_address": place.ip_address} for place in places]
    return page.page("vpcs", rows)


@router.post("/vpcs/attach")
def attach_vpc(instance_id: str, body: VpcId, parts: P) -> Response:
    with parts.store.read() as state:
        find_instance(state, instance_id)
    parts.hosting.attach(instance_id, body.vpc_id)
    return done()


@router.post("/vpcs/detach")
def detach_vpc(instance_id: str, body: VpcId, parts: P) -> Response:
    with parts.store.read() as state:
        find_instance(state, instance_id)
    parts.hosting.detach(instance_id, body.vpc_id)
    return done()


@router.get("/vpc2")
def list_instance_vpc2(instance_id: str, parts: P, page: Page) -> dict[str, Any]:
    """VPC 2.0 is gone from live Vultr; provider 2.32 still asks, and needs an empty list."""
    if parts.config.vpc2 == "gone":
        raise not_found("Not Found.")
    with parts.store.read() as state:
        find_instance(state, instance_id)
    return page.page("vpcs", [])


@router.get("/backup-schedule")
def get_backup_schedule(instance_id: str, parts: P) -> dict[str, Any]:
    with parts.store.read() as state:
        schedule = find_instance(state, instance_id).backup_schedule
    return {"backup_schedule": {"enabled": bool(schedule), **schedule}}


@router.post("/backup-schedule")
def set_backup_schedule(instance_id: str, body: BackupSchedule, parts: P) -> Response:
    """Kept and shown; no backup is taken."""
    with parts.store.change() as state:
        instance = find_instance(state, instance_id)
        asked = {name: value for name, value in body.model_dump().items() if value is not None}
        instance.backup_schedule = {"hour": 10, "dow": 1, "dom": 1, **asked}
    return done()


@router.get("/user-data")
def get_user_data(instance_id: str, parts: P) -> dict[str, Any]:
    with parts.store.read() as state:
        return {"user_data": {"data": find_instance(state, instance_id).user_data}}


@router.get("/neighbors")
def list_neighbors(instance_id: str, parts: P) -> dict[str, Any]:
    """Ids of one's own instances on the same physical host. There are none here unless the fault `neighbors` names them."""
    with parts.store.read() as state:
        label = find_instance(state, instance_id).label
        beside = {other for group in parts.faults.now.neighbors if label in group for other in group}
        ids = [one.id for one in state.instances.values() if one.label in beside and one.id != instance_id]
    return {"neighbors": ids}
