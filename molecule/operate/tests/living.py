"""The cluster as a whole: hosts come and go, so each run gets an inventory made of those that there are now."""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
SCENARIO = os.environ["MOLECULE_SCENARIO_NAME"]
# What an operator is told to run is all that is run here.
PAGES = "".join((PROJECT / "docs" / name).read_text() for name in ("operate.md", "etcd.md", "recovery.md"))
SUBNET = "10.89.56"
ETCD = {f"etcd-{number}": f"{SUBNET}.1{number}" for number in (1, 2, 3)}
DATABASES = {f"postgresql-{number}": f"{SUBNET}.2{number}" for number in (1, 2)}
DATA = "/var/lib/postgresql/17/main"
# Change times of everything that a run may write; when each service began, and when PostgreSQL last read its configuration.
FILES = f"/etc/elephant /etc/systemd/system /etc/apt /etc/sysctl.d /etc/ssh /etc/nftables* /root/.config /usr/local {DATA}/*.conf"
UNITS = "etcd patroni chrony nftables ssh etcd-snapshot.timer elephant-certificates.timer elephant-firewall"
PRINT = f"""find {FILES} -printf '%p %T@ %C@\\n' 2>/dev/null | grep -v '/ssh_host_' | sort
systemctl show {UNITS} --property=Id,ActiveEnterTimestampMonotonic,ExecMainStartTimestampMonotonic
head -n 3 {DATA}/postmaster.pid 2>/dev/null
[ ! -d {DATA} ] || runuser -u postgres -- psql -XAtc 'SELECT pg_conf_load_time(), pg_postmaster_start_time()'"""


def docker(*words: str) -> str:
    """What a docker command printed; raises when it failed."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


def until(condition: Callable[[], Any], what: str, seconds: int = 240) -> None:
    """Ask again until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(1)


@dataclass
class Cluster:
    """Hosts of the scenario, by group, each name with its address; what runs on them is asked of its own tools."""

    runner: Callable[..., Any]
    folder: Path
    name: str = "molecule"
    etcd: dict[str, str] = field(default_factory=lambda: dict(ETCD))
    databases: dict[str, str] = field(default_factory=lambda: dict(DATABASES))
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def hosts(self) -> dict[str, str]:
        """All hosts."""
        return self.etcd | self.databases

    @property
    def home(self) -> Path:
        """The cluster's folder on the controller."""
        return Path(os.environ["ELEPHANT_HOME"]) / self.name

    def container(self, host: str) -> str:
        """The container of a host; names are kept by host name."""
        return f"elephant-{SCENARIO}-{host}"

    def inventory(self) -> Path:
        """A file that lists the hosts that there are now."""

        def group(members: dict[str, str]) -> dict[str, Any]:
            return {"hosts": {host: {"ansible_host": self.container(host), "cluster_address": at} for host, at in members.items()}}

        shared = {"ansible_connection": "community.docker.docker", "scenario_subnet": f"{SUBNET}.0/24", "pgbackrest_enabled": False}
        tree = {"all": {"vars": shared | self.settings, "children": {"etcd": group(self.etcd), "postgresql": group(self.databases)}}}
        file = self.folder / f"{self.name}.yml"
        file.write_text(json.dumps(tree))
        return file

    def run(self, playbook: str, *arguments: str, **environment: str) -> Any:
        """Run one of the project's playbooks on the hosts that there are now, by words that stand in its page."""
        names = [word.partition("=")[0] for before, word in itertools.pairwise(arguments) if before == "-e"]
        for word in (f"playbooks/{playbook}", *names):
            assert word in PAGES, f"{word} stands in no page"
        return self.runner(
            *arguments, playbook=PROJECT / "playbooks" / playbook, inventory=self.inventory(), CLUSTER=self.name, **environment
        )

    def converge(self, *arguments: str, **environment: str) -> Any:
        """Run the playbook that makes the cluster."""
        return self.run("provision/ha.yml", *arguments, **environment)

    def create(self) -> None:
        """Make the containers that are missing, and touch no other."""
        there = docker("ps", "--all", "--format", "{{.Names}}").split()
        missing = [host for host in self.hosts if self.container(host) not in there]
        made = self.runner("--limit", ",".join(missing), playbook=PROJECT / "molecule/shared/create.yml", inventory=self.inventory())
        assert made.status == 0, made.output

    def sh(self, host: str, command: str, ok: bool = True) -> str:
        """What a shell on a host answers."""
        done = subprocess.run(["docker", "exec", self.container(host), "sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not ok, f"{host}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def sql(self, host: str, query: str) -> str:
        """The answer of a host's own PostgreSQL."""
        return self.sh(host, f'runuser -u postgres -- psql -XAtc "{query}"')

    def roles(self, at: str | None = None) -> dict[str, str]:
        """Each member's role as patronictl prints it; empty while it cannot be asked. Only members that run or stream are listed."""
        for host in [at] if at else self.databases:
            said = self.sh(host, "timeout 60 patronictl list --format json 2>/dev/null", ok=False)
            if said:
                return {it["Member"]: it["Role"] for it in json.loads(said) if it["State"] in ("running", "streaming")}
        return {}

    def leader(self) -> str:
        """Who leads."""
        return next(name for name, role in self.roles().items() if role == "Leader")

    def standby(self) -> str:
        """A standby, the synchronous one."""
        return next(name for name, role in self.roles().items() if role == "Sync Standby")

    def voters(self) -> set[str]:
        """Members of etcd that vote, and were started."""
        members = self.etcdctl("member list")["members"]
        return {it["name"] for it in members if it.get("clientURLs") and not it.get("isLearner")}

    def etcdctl(self, words: str) -> Any:
        """The JSON answer of etcd to root, from the first member that answers."""
        command = f"set -a; . /etc/elephant/etcdctl.env; etcdctl --command-timeout=20s --dial-timeout=10s --write-out=json {words}"
        answers = (self.sh(host, command, ok=False) for host in self.etcd)
        return json.loads(next(it for it in answers if it))

    def is_whole(self) -> bool:
        """One leader, one synchronous standby, everybody runs."""
        roles = list(self.roles().values())
        return len(roles) == len(self.databases) and roles.count("Leader") == 1 and "Sync Standby" in roles

    def wait_whole(self) -> None:
        """Return when everybody has its place, etcd's members included."""
        until(self.is_whole, "one leader and a synchronous standby")
        until(
            lambda: self.sh(
                next(iter(self.etcd)), "set -a; . /etc/elephant/etcdctl.env; etcdctl endpoint health --cluster && echo well", ok=False
            ).endswith("well"),
            "every etcd member is healthy",
        )

    def print(self, hosts: Iterable[str] | None = None) -> dict[str, Any]:
        """What no run may touch on hosts that match: times of files and services, and the cluster's revisions in etcd."""
        seen: dict[str, Any] = {host: self.sh(host, PRINT, ok=False).splitlines() for host in hosts or self.hosts}
        config = self.etcdctl(f"get /service/{self.name}/config")
        seen["config"] = config["kvs"][0]["mod_revision"]
        seen["users"] = self.etcdctl("auth status")["authRevision"]
        return seen


def sentence(run: Any) -> str:
    """What a refusal says, on one line: Ansible folds it. Fails when the run went through or changed a host."""
    assert run.status != 0, run.output
    assert run.changed == set(), run.output
    return " ".join(run.output.split())
