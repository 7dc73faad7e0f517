"""Every option of a role is turned by one of its scenarios: a new one cannot be forgotten."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ROLES = ("node", "firewall", "certificates", "etcd", "postgresql", "patroni", "databases")

# Turned elsewhere: option, and the file (of the role's scenarios, or of the fast tests) that turns it with extra variables.
ELSEWHERE = {
    "certificates_accept_new_authority": "molecule/certificates-options/tests/test_authority.py",
    # What an archive is called tells its version where its name does not.
    "etcd_archive_version": "tests/preflight/test_versions.py",
    "etcd_lost_cluster": "molecule/etcd-lost/tests/test_lost.py",
    # With a program in pgBackRest's place here; with backups in every scenario of the whole cluster.
    "patroni_pgbackrest_stanza": "molecule/patroni-operate/tests/test_playbooks.py",
    "patroni_postgresql_version": "molecule/patroni-operate/tests/test_operate.py",
    "patroni_single_member": "tests/preflight/test_patroni.py",
    # Every repository has its own; what has no other refuses.
    "postgresql_version": "molecule/postgresql-options/tests/test_postgresql.py",
}


def turns(role: str) -> list[Path]:
    """What a scenario of the role says in YAML."""
    folders = [path for path in (ROOT / "molecule").iterdir() if path.name == role or path.name.startswith(f"{role}-")]
    return [path for folder in folders for path in sorted(folder.rglob("*.yml"))]


def options(spec: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Each option with its path, those within lists of entries included."""
    for name, option in spec.items():
        yield (*path, name), option
        yield from options(option.get("options", {}), (*path, name))


def given(node: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """The values at `path`, whose first name may stand anywhere and whose others stand in entries of the one before."""
    if isinstance(node, list):
        for item in node:
            yield from given(item, path)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == path[0]:
                yield from [value] if len(path) == 1 else within(value, path[1:])
            else:
                yield from given(value, path)


def within(entries: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """The values at `path` in a list of entries, or in one."""
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict) and path[0] in entry:
            yield from [entry[path[0]]] if len(path) == 1 else within(entry[path[0]], path[1:])


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_turned_in_a_scenario(role):
    spec = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    said = [yaml.safe_load(path.read_text()) for path in turns(role)]
    forgotten = []
    for path, option in options(spec):
        name = ".".join(path)
        if name in ELSEWHERE:
            assert re.search(rf"\b{path[-1]}\b", (ROOT / ELSEWHERE[name]).read_text()), f"{ELSEWHERE[name]} does not turn {name}"
        # A value that is the default turns nothing.
        elif not [value for document in said for value in given(document, path) if value != option.get("default")]:
            forgotten.append(name)
    assert not forgotten, f"no scenario of {role} turns {', '.join(forgotten)}"


def test_what_is_turned_elsewhere_is_still_an_option():
    specs = [yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text()) for role in ROLES]
    known = {".".join(path) for spec in specs for path, _ in options(spec["argument_specs"]["main"]["options"])}
    assert set(ELSEWHERE) <= known
