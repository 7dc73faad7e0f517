"""The cluster as a whole: these tests change a host and judge the others, so they are not run once for each."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NAMES = ("db-1", "db-2")
DATA = "/var/lib/postgresql/17/main"


@dataclass(frozen=True)
class Play:
    """One run of a playbook."""

    status: int
    output: str

    @property
    def said(self) -> str:
        """Its output as one line, so that a sentence is found wherever it was broken."""
        return re.sub(r"\s+", " ", self.output)


@dataclass(frozen=True)
class Cluster:
    """The scenario's containers, judged by patronictl, psql, systemd and etcdctl."""

    names: tuple[str, ...] = NAMES

    def sh(self, name: str, command: str, ok: bool = True) -> str:
        """What a shell on a host answers."""
        done = subprocess.run(
            ["docker", "exec", f"elephant-patroni-operate-{name}", "sh", "-c", command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not ok, done.stdout + done.stderr
        return done.stdout.strip()

    def sql(self, name: str, query: str) -> str:
        """What a member's own PostgreSQL answers to its superuser."""
        return self.sh(name, f'runuser -u postgres -- psql -XAtd postgres -c "{query}"')

    def members(self, at: str = "db-1") -> dict[str, dict[str, Any]]:
        """patronictl's list by member."""
        return {it["Member"]: it for it in json.loads(self.sh(at, "patronictl list --format json"))}

    def leader(self, at: str = "db-1") -> str:
        """Who leads. Nobody does while the lead moves; then it returns when somebody does."""
        leaders: list[str] = []

        def somebody_leads() -> bool:
            leaders[:] = [name for name, it in self.members(at).items() if it["Role"] == "Leader"]
            return bool(leaders)

        self.until(somebody_leads)
        return leaders[0]

    def standby(self) -> str:
        """Who does not."""
        lead = self.leader()
        return next(name for name in self.names if name != lead)

    def config(self, at: str = "db-1") -> dict[str, Any]:
        """The cluster's settings in the DCS."""
        return json.loads(
            self.sh(at, "patronictl show-config | python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'")
        )

    def etcdctl(self, command: str) -> dict[str, Any]:
        """The JSON answer to root's certificate."""
        return json.loads(self.sh("etcd-1", f"set -a; . /etc/elephant/etcdctl.env; etcdctl --write-out=json {command}"))

    def lease(self) -> int:
        """For how many seconds etcd granted the leader its lease; 0 while there is none."""
        held = self.etcdctl("get /service/elephant/leader").get("kvs", [])
        return self.etcdctl(f"lease timetolive {held[0]['lease']:x}").get("granted-ttl", 0) if held else 0

    def postmasters(self) -> dict[str, str]:
        """When each PostgreSQL was started: the proof that none was restarted."""
        return {name: self.sh(name, f"sed -n '1p;3p' {DATA}/postmaster.pid") for name in self.names}

    def patronis(self) -> dict[str, str]:
        """When each Patroni was started."""
        return {name: self.sh(name, "systemctl show patroni --value --property ExecMainStartTimestampMonotonic") for name in self.names}

    def everything(self) -> dict[str, str]:
        """What a run without changes leaves as it is: files with their times, units with theirs, PostgreSQL, the settings' revision."""
        look = (
            "find /etc/elephant /etc/systemd/system /root/.config/patroni -printf '%p %m %u %g %T@ %C@\\n' | sort; systemctl show patroni"
            " --property ExecMainStartTimestampMonotonic,StateChangeTimestampMonotonic,NRestarts,UnitFileState"
        )
        seen = {name: self.sh(name, look) for name in self.names}
        revision = self.etcdctl("get /service/elephant/config")["kvs"][0]["mod_revision"]
        return seen | {"config": str(revision)} | {f"{it} started": at for it, at in self.postmasters().items()}

    def whole(self, seconds: int = 120) -> None:
        """Return when there are a leader and a synchronous standby."""
        self.until(lambda: sorted(it["Role"] for it in self.members().values()) == ["Leader", "Sync Standby"], seconds)

    def until(self, condition: Callable[[], bool], seconds: int = 120) -> None:
        """Wait for the condition; red when it does not come about."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.members()
            time.sleep(0.5)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The two database hosts and their etcd."""
    return Cluster()


@pytest.fixture(scope="session")
def playbook(tmp_path_factory) -> Callable[..., Play]:
    """`playbook("restart", "-e", "x=1")` runs playbooks/patroni/restart.yml on the scenario's hosts."""
    home = tmp_path_factory.mktemp("home")

    def run(name: str, *arguments: str) -> Play:
        scenario = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
        secrets = ["-e", '{patroni_etcd_password: "etcd\'pass#1"}', "-e", "pgbackrest_enabled=false"]
        done = subprocess.run(
            ["ansible-playbook", "--inventory", scenario / "inventory/hosts.yml", f"playbooks/patroni/{name}.yml", *secrets, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
            env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ELEPHANT_HOME": str(home), "CLUSTER": "elephant"},
        )
        return Play(done.returncode, done.stdout + done.stderr)

    return run
