"""Regions, plans, operating systems, the account."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from local.vultr import catalog
from local.vultr.errors import not_found
from local.vultr.routes.common import P, Page

router = APIRouter()


@router.get("/v2/regions")
def list_regions(page: Page) -> dict[str, Any]:
    return page.page("regions", catalog.regions())


@router.get("/v2/regions/{region_id}/availability")
def list_available_plans(region_id: str, type: str = "all") -> dict[str, Any]:
    if catalog.find(catalog.regions(), region_id) is None:
        raise not_found("Invalid region ID")
    plans = [plan for plan in catalog.available_plans(region_id) if type in ("all", plan.partition("-")[0])]
    return {"available_plans": plans, "available_vpc_only_plans": []}


@router.get("/v2/plans")
def list_plans(page: Page, type: str = "all", os: str = "") -> dict[str, Any]:
    return page.page("plans", [plan for plan in catalog.plans() if type in ("all", plan["type"])])


@router.get("/v2/os")
def list_operating_systems(page: Page) -> dict[str, Any]:
    return page.page("os", catalog.operating_systems())


@router.get("/v2/account")
def get_account(parts: P) -> dict[str, Any]:
    account = {
        "name": f"Elephant local Vultr ({parts.config.cluster})",
        "email": "local-vultr@example.invalid",
        "acls": ["manage_users", "subscriptions_view", "subscriptions", "provisioning", "billing", "upgrade", "firewall", "objstore"],
        "balance": 0,
        "pending_charges": 0,
        "last_payment_date": "",
        "last_payment_amount": 0,
    }
    return {"account": account}
