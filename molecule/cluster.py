"""A cluster under test, asked through its own programs: psql, patronictl, pgbackrest."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import testinfra

SCENARIO = Path(os.environ.get("MOLECULE_SCENARIO_DIRECTORY", "."))
INVENTORY = SCENARIO / "inventory/hosts.yml"
TOOL = "python3 /usr/local/lib/elephant/backup"


def machine(name: str, inventory: Path = INVENTORY) -> Any:
    """A host by its name in the inventory."""
    return testinfra.get_host(f"ansible://{name}?ansible_inventory={inventory}")


def postgres(host: Any, command: str) -> Any:
    """Run a shell command as postgres."""
    return host.run(f"runuser -u postgres -- sh -c {shlex.quote(command)}")


def sql(host: Any, statement: str) -> str:
    """The answer of the local server."""
    done = postgres(host, f"psql -XAtq -v ON_ERROR_STOP=1 -c {shlex.quote(statement)} postgres")
    assert done.rc == 0, done.stderr
    return done.stdout.strip()


def until(what: str, happens: Callable[[], Any], seconds: float = 180) -> Any:
    """Wait until something is true; answers it."""
    deadline = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)
    return found


def members(host: Any) -> dict[str, str]:
    """Role by name, as patronictl sees it; empty while it sees nothing."""
    done = host.run("patronictl list --format json")
    return {it["Member"]: it["Role"] for it in json.loads(done.stdout)} if done.rc == 0 and done.stdout.strip() else {}


def leader(names: tuple[str, ...] = ("db-1", "db-2"), inventory: Path = INVENTORY) -> Any:
    """The host that leads."""
    hosts = {name: machine(name, inventory) for name in names}
    roles = members(next(iter(hosts.values())))
    (found,) = [name for name, role in roles.items() if role == "Leader"]
    return hosts[found]


def backups(host: Any, stanza: str) -> list[dict]:
    """Backups of the stanza, oldest first."""
    return json.loads(postgres(host, f"pgbackrest --stanza={stanza} --output=json info").stdout)[0]["backup"]


def rows(host: Any) -> set[str]:
    """What the table `kept` has."""
    return set(sql(host, "SELECT name FROM kept").splitlines())


def keep(host: Any, name: str) -> None:
    """One more row in the table `kept`."""
    sql(host, f"CREATE TABLE IF NOT EXISTS kept (name text PRIMARY KEY); INSERT INTO kept VALUES ('{name}')")


def docker(*words: str) -> str:
    """A command of the container engine, on containers of this scenario."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()
