"""The lists that Vultr publishes: regions, plans, operating systems, object storage clusters and tiers.

They are files in data/, in the shape in which the API shows them; README.md says where the figures come from.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
Row = dict[str, Any]


@cache
def rows(name: str) -> list[Row]:
    """The rows of one list: regions, plans, os, clusters or tiers."""
    return json.loads((DATA / f"{name}.json").read_text())


def regions() -> list[Row]:
    return rows("regions")


def operating_systems() -> list[Row]:
    return rows("os")


def clusters() -> list[Row]:
    return rows("clusters")


@cache
def plans() -> list[Row]:
    """Every plan, with the regions that offer it: all but those that data/plans.json excludes."""
    everywhere = [region["id"] for region in regions()]
    result = []
    for row in rows("plans"):
        plan = {key: value for key, value in row.items() if key != "not_in"}
        result.append({**plan, "locations": [region for region in everywhere if region not in row.get("not_in", [])]})
    return result


@cache
def tiers() -> list[Row]:
    """Every tier, each offered by every cluster that can be deployed to."""
    return [{**row, "locations": [cluster for cluster in clusters() if cluster["deploy"] == "yes"]} for row in rows("tiers")]


def find(listed: list[Row], value: Any) -> Row | None:
    """The row whose id is `value`."""
    return next((row for row in listed if row["id"] == value), None)


def available_plans(region: str) -> list[str]:
    """Ids of the plans that can be deployed in a region now."""
    return [plan["id"] for plan in plans() if region in plan["locations"]]
