"""The hosts of the scenario, and the project's playbooks as an operator runs them. These tests break hosts: none is run for each."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ETCD = ("etcd-1", "etcd-2", "etcd-3")
POSTGRESQL = ("postgresql-1", "postgresql-2")
# patronictl without its store asks for ever.
CONFIG = "timeout 60 patronictl show-config | python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'"
REST = """
import json, ssl, sys, urllib.request
tls = ssl.create_default_context(cafile="/etc/elephant/certificates/ca.crt")
print(urllib.request.urlopen(f"https://{sys.argv[1]}:8008/patroni", context=tls, timeout=10).read().decode())
"""


def sh(name: str, command: str, ok: bool = True) -> str:
    """What a shell on a host answers."""
    done = subprocess.run(
        ["docker", "exec", f"elephant-etcd-lost-{name}", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or not ok, done.stdout + done.stderr
    return done.stdout.strip()


def until(condition: Callable[[], bool], seconds: int = 120) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.5)


@dataclass(frozen=True)
class Database:
    """What must not change while etcd is lost and found."""

    roles: dict[str, str]
    postmasters: dict[str, str]
    timeline: str
    config: dict[str, Any]

    @property
    def leader(self) -> str:
        """The member that leads."""
        return next(name for name, role in self.roles.items() if role == "Leader")


def look(at: str = POSTGRESQL[0]) -> Database:
    """The cluster as Patroni has it in its store, and what each postmaster says of its own start."""
    listed = json.loads(sh(at, "timeout 60 patronictl list --format json"))
    return Database(
        {it["Member"]: it["Role"] for it in listed},
        {name: sql(name, "select pg_postmaster_start_time()") for name in POSTGRESQL},
        sql(at, "select timeline_id from pg_control_checkpoint()"),
        json.loads(sh(at, CONFIG)),
    )


def sql(name: str, query: str) -> str:
    """The answer of a host's own server."""
    return sh(name, f'runuser -u postgres -- psql -XAt --set=ON_ERROR_STOP=1 -c "{query}"')


def patroni(name: str) -> dict[str, Any]:
    """What a member's Patroni says of itself, whatever its store does."""
    address = f"10.89.58.2{name[-1]}"
    return json.loads(sh(name, f"python3 -c '{REST}' {address}"))


def etcdctl(command: str, at: str = ETCD[0]) -> Any:
    """The JSON answer of the members to root's certificate."""
    return json.loads(sh(at, f"set -a; . /etc/elephant/etcdctl.env; etcdctl --command-timeout=30s --write-out=json {command}"))


@pytest.fixture
def playbook() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`playbook("etcd/status.yml", "-e", "x=1")` runs one of the project's playbooks on the scenario's hosts."""

    def run(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "ansible-playbook",
                "--inventory",
                Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory/hosts.yml",
                f"playbooks/{path}",
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
            env=os.environ | {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"},
        )

    return run
