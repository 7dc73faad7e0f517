"""What the README says is tested is what the scenarios do: their names, and the versions that they set."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SECTION = README.split("## What is tested\n")[1].split("\n## ")[0]
SCENARIOS = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}
# Debian, packages, PostgreSQL, Patroni, etcd, pgBackRest, by whom.
VERSIONS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if re.match(r"\| (\d+|testing) \|", line)]


def settings(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at whatever depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield name, value
            yield from settings(value)
    elif isinstance(node, list):
        for item in node:
            yield from settings(item)


def test_every_scenario_is_named_and_there():
    parts = re.findall(r"^\| [^|]+ \| (`[^|]+) \|$", SECTION, flags=re.MULTILINE)
    named = set(re.findall(r"`([\w-]+)`", " ".join(parts)))
    assert named == SCENARIOS, named ^ SCENARIOS
    assert set(re.findall(r"`([a-z]+-[a-z]+)`", " ".join(row[-1] for row in VERSIONS))) <= SCENARIOS


def test_every_role_has_its_row():
    roles = {path.parents[1].name for path in (ROOT / "roles").glob("*/tasks/main.yml")}
    rows = re.findall(r"^\| (\w+) \| `(\w+)`", SECTION, flags=re.MULTILINE)
    # A role that comes with its scenario comes with its row.
    assert {name for name, first in rows if name == first} >= roles & SCENARIOS


def test_debian_testing_is_named_where_a_scenario_is_on_it():
    inventories = (ROOT / "molecule").glob("*/inventory/hosts.yml")
    on_it = {path.parents[1].name for path in inventories if "scenario_image: testing" in path.read_text()}
    (row,) = [row for row in VERSIONS if row[0] == "testing"]
    assert on_it == set(re.findall(r"`([\w-]+)`", row[-1])) != set()


def test_the_defaults_are_the_versions_that_are_tested():
    tested = next(row for row in VERSIONS if row[1] == "`distribution`")
    for role in ("postgresql", "patroni", "replication"):
        file = ROOT / "roles" / role / "defaults/main.yml"
        if file.exists():
            default = (yaml.safe_load(file.read_text()) or {}).get(
                "postgresql_version" if role == "postgresql" else f"{role}_postgresql_version"
            )
            assert default in (None, tested[2]), f"{role} takes PostgreSQL {default}"


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_no_scenario_uses_a_version_that_the_table_does_not_know(scenario):
    known = {row[2] for row in VERSIONS}
    for file in (ROOT / "molecule" / scenario).rglob("*.yml"):
        for name, value in settings(yaml.safe_load(file.read_text())):
            if name.endswith("postgresql_version"):
                assert str(value) in known, f"{os.path.relpath(file, ROOT)} sets {name}"
            if name == "etcd_archive" and value:
                assert any(f"`{scenario}`" in row[-1] for row in VERSIONS), (
                    f"{scenario} has an etcd from an archive, and the table does not say so"
                )
