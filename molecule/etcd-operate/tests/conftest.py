"""The cluster as a whole: these tests break a host and judge the others, so they are not run once for each."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NAMES = ("etcd-1", "etcd-2", "etcd-3")


@dataclass(frozen=True)
class Cluster:
    """The scenario's containers."""

    names: tuple[str, ...] = NAMES

    def container(self, name: str) -> str:
        """The container of a member."""
        return f"elephant-etcd-operate-{name}"

    def sh(self, name: str, command: str, ok: bool = True) -> str:
        """What a shell on the host of a member answers."""
        done = subprocess.run(["docker", "exec", self.container(name), "sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not ok, done.stdout + done.stderr
        return done.stdout.strip()

    def docker(self, command: str, *names: str) -> None:
        """What happens to a machine, not in it: kill, start."""
        subprocess.run(["docker", command, *map(self.container, names)], check=True, capture_output=True)

    def etcdctl(self, command: str, at: str = "etcd-1") -> Any:
        """The JSON answer of a member to root's certificate."""
        patience = "--command-timeout=30s --dial-timeout=20s"
        return json.loads(self.sh(at, f"set -a; . /etc/elephant/etcdctl.env; etcdctl {patience} --write-out=json {command}"))

    def started(self) -> dict[str, str]:
        """When each member's process began: a restart shows."""
        return {name: self.sh(name, "systemctl show etcd --value --property=ExecMainStartTimestampMonotonic") for name in self.names}

    def voters(self, at: str = "etcd-1") -> dict[str, int]:
        """Name and id of each voting member."""
        return {it["name"]: it["ID"] for it in self.etcdctl("member list", at)["members"] if not it.get("isLearner")}

    def wait_healthy(self, at: str = "etcd-1", seconds: int = 120) -> None:
        """Return when all members are healthy, as one of them sees it; etcdctl itself waits between the tries."""
        check = "set -a; . /etc/elephant/etcdctl.env; etcdctl --command-timeout=5s endpoint health --cluster"
        self.sh(at, f"timeout {seconds} sh -c 'until {{ {check}; }} >/dev/null 2>&1; do sleep 0.5; done'")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The three members."""
    return Cluster()


@pytest.fixture(scope="session")
def playbook() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`playbook("etcd/status.yml", "-e", "x=1")` runs one of the project's playbooks on the scenario's hosts."""

    def run(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        inventory = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory/hosts.yml"
        return subprocess.run(
            ["ansible-playbook", "--inventory", inventory, f"playbooks/{path}", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
            env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
        )

    return run
