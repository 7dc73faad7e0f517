"""VPCs: one internal network each."""

from __future__ import annotations

from dataclasses import asdict
from ipaddress import IPv4Network
from typing import Any

from fastapi import APIRouter, Response

from local.vultr import catalog
from local.vultr.engine import EngineError
from local.vultr.errors import bad_request, not_found
from local.vultr.routes.common import DESCRIPTION_LENGTH, Body, P, Page, done
from local.vultr.state import State, Vpc, new_id, now

router = APIRouter(prefix="/v2/vpcs")
PER_REGION = 5
PRIVATE = [IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")]


class CreateVpc(Body):
    region: str
    description: str = ""
    # An unset subnet arrives from the provider as "" and 0.
    v4_subnet: str = ""
    v4_subnet_mask: int = 0


class UpdateVpc(Body):
    description: str


def find(state: State, vpc_id: str) -> Vpc:
    if vpc_id not in state.vpcs:
        raise not_found("Invalid VPC ID")
    return state.vpcs[vpc_id]


def _asked(body: CreateVpc) -> IPv4Network | None:
    """The network that was asked for, None when Vultr is to choose."""
    if not body.v4_subnet and not body.v4_subnet_mask:
        return None
    text = f"{body.v4_subnet}/{body.v4_subnet_mask}"
    try:
        network = IPv4Network(text)
    except ValueError as error:
        raise bad_request(f"Invalid v4_subnet or v4_subnet_mask: {error}.") from error
    if not any(network.subnet_of(private) for private in PRIVATE):
        raise bad_request(f"Invalid v4_subnet: {text} is not a private network (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16).")
    if not 16 <= network.prefixlen <= 28:
        raise bad_request(f"Invalid v4_subnet_mask: {network.prefixlen} is not between 16 and 28.")
    return network


def _free(state: State, parts: P, vpc_id: str) -> IPv4Network:
    """A /20 as Vultr hands them out; the next one when the engine has the range in use already."""
    taken = [IPv4Network(vpc.cidr) for vpc in state.vpcs.values()]
    for candidate in IPv4Network("10.64.0.0/12").subnets(new_prefix=20):
        if any(candidate.overlaps(network) for network in taken):
            continue
        try:
            parts.hosting.machines.ensure_vpc(parts.hosting.network(vpc_id), candidate)
        except EngineError as error:
            if "overlap" in str(error).lower():
                continue
            raise
        return candidate
    raise bad_request("No network is left for a VPC: give v4_subnet and v4_subnet_mask.")


@router.get("")
def list_vpcs(parts: P, page: Page) -> dict[str, Any]:
    with parts.store.read() as state:
        return page.page("vpcs", [asdict(vpc) for vpc in state.vpcs.values()])


@router.post("", status_code=201)
def create_vpc(body: CreateVpc, parts: P) -> dict[str, Any]:
    region = body.region.lower()
    if catalog.find(catalog.regions(), region) is None:
        raise bad_request("Invalid region ID")
    network, vpc_id = _asked(body), new_id()
    with parts.store.change() as state:
        if sum(vpc.region == region for vpc in state.vpcs.values()) >= PER_REGION:
            raise bad_request(f"You have reached the maximum of {PER_REGION} VPC networks in this region.")
        if network is None:
            network = _free(state, parts, vpc_id)
        elif other := next((vpc for vpc in state.vpcs.values() if network.overlaps(IPv4Network(vpc.cidr))), None):
            raise bad_request(
                f"The local Vultr cannot have {network} beside {other.cidr} of the VPC '{other.description}': all VPCs share one machine."
            )
        else:
            _make(parts, vpc_id, network)
        vpc = Vpc(vpc_id, region, body.description[:DESCRIPTION_LENGTH], str(network.network_address), network.prefixlen, now())
        state.vpcs[vpc.id] = vpc
    return {"vpc": asdict(vpc)}


def _make(parts: P, vpc_id: str, network: IPv4Network) -> None:
    try:
        parts.hosting.machines.ensure_vpc(parts.hosting.network(vpc_id), network)
    except EngineError as error:
        if "overlap" in str(error).lower():
            raise bad_request(f"{network} is in use by another Docker network: choose another v4_subnet for the VPC.") from error
        raise


@router.get("/{vpc_id}")
def get_vpc(vpc_id: str, parts: P) -> dict[str, Any]:
    with parts.store.read() as state:
        return {"vpc": asdict(find(state, vpc_id))}


@router.put("/{vpc_id}")
def update_vpc(vpc_id: str, body: UpdateVpc, parts: P) -> Response:
    with parts.store.change() as state:
        find(state, vpc_id).description = body.description[:DESCRIPTION_LENGTH]
    return done()


@router.delete("/{vpc_id}")
def delete_vpc(vpc_id: str, parts: P) -> Response:
    with parts.store.change() as state:
        find(state, vpc_id)
        attached = [one.label for one in state.instances.values() if any(place.vpc_id == vpc_id for place in one.vpcs)]
        if attached or parts.hosting.vpc_is_busy(vpc_id):
            raise bad_request(f"The following servers are attached to this VPC network: {', '.join(attached) or '(leaving)'}")
        parts.hosting.machines.remove_vpc(parts.hosting.network(vpc_id))
        del state.vpcs[vpc_id]
    return done()


@router.get("/{vpc_id}/attachments")
def list_attachments(vpc_id: str, parts: P, page: Page) -> dict[str, Any]:
    with parts.store.read() as state:
        find(state, vpc_id)
        rows = [
            {"id": instance.id, "ip_address": place.ip_address, "mac_address": place.mac_address, "type": "vps"}
            for instance in state.instances.values()
            for place in instance.vpcs
            if place.vpc_id == vpc_id
        ]
    return page.page("attachments", rows)
