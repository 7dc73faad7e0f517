"""A local Vultr without Docker: the whole API on machines and storage that only pretend."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    # Starlette would rather have a client that is younger than the httpx that everything else here uses.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from local.vultr.app import make_app, make_parts, read_key
from local.vultr.config import Config
from local.vultr.engine import EngineError
from local.vultr.machines import Machine, Nic
from local.vultr.state import Gateway, ObjectStorage
from local.vultr.storage import Bucket

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE me"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "docker: makes real containers; fails, never skips, where Docker or the host image is missing")


def until(what: Callable[[], Any], seconds: float = 10, message: str = "") -> Any:
    """The first true value of `what`, asked again and again until the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, message or f"not true after {seconds} s"
        time.sleep(0.02)
    return value


class FakeMachines:
    """Machines in memory. `down` is a sentence while the engine is down; `booted` lets boots end."""

    def __init__(self) -> None:
        self.made: dict[str, Machine] = {}
        self.on: set[str] = set()
        self.networks: dict[str, IPv4Network] = {}
        self.plugged: dict[str, set[str]] = {}
        self.down = ""
        self.boots = 0
        self.booted = threading.Event()
        self.booted.set()

    def _ask(self) -> None:
        if self.down:
            raise EngineError(self.down)

    def problems(self) -> list[str]:
        return [self.down] if self.down else []

    def offers(self, os_name: str) -> bool:
        return "Ubuntu" not in os_name

    def ensure_vpc(self, network: str, cidr: IPv4Network) -> None:
        self._ask()
        if network not in self.networks and any(cidr.overlaps(other) for other in self.networks.values()):
            raise EngineError("Pool overlaps with other one on this address space")
        self.networks[network] = cidr

    def remove_vpc(self, network: str) -> None:
        self._ask()
        self.networks.pop(network, None)

    def start(self, machine: Machine) -> None:
        self._ask()
        self.made[machine.id] = machine
        self.on.add(machine.id)
        self.boots += 1
        self.plugged[machine.id] = {nic.network for nic in machine.nics}

    def kill(self, machine_id: str) -> None:
        self._ask()
        self.on.discard(machine_id)

    def remove(self, machine_id: str) -> None:
        self._ask()
        self.made.pop(machine_id, None)
        self.on.discard(machine_id)

    def attach(self, machine_id: str, nic: Nic) -> None:
        self._ask()
        self.plugged[machine_id].add(nic.network)

    def detach(self, machine_id: str, network: str) -> None:
        self._ask()
        self.plugged[machine_id].discard(network)

    def running(self) -> dict[str, bool]:
        self._ask()
        return {machine_id: machine_id in self.on for machine_id in self.made}

    def answers(self, machine: Machine) -> bool:
        return self.booted.is_set()


class FakeStorage:
    """Object storage in memory."""

    def __init__(self) -> None:
        self.accounts: dict[str, set[str]] = {}
        self.made: dict[str, dict[str, str]] = {}

    def problems(self) -> list[str]:
        return []

    def open(self, gateway: Gateway) -> None:
        self.accounts.setdefault(gateway.hostname, set())
        self.made.setdefault(gateway.hostname, {})

    def close(self, gateway: Gateway) -> None:
        del self.accounts[gateway.hostname], self.made[gateway.hostname]

    def add_account(self, gateway: Gateway, account: ObjectStorage) -> None:
        self.open(gateway)
        self.accounts[gateway.hostname].add(account.s3_access_key)

    def remove_account(self, gateway: Gateway, account: ObjectStorage) -> None:
        self.accounts[gateway.hostname].discard(account.s3_access_key)

    def create_bucket(self, gateway: Gateway, account: ObjectStorage, name: str, *, versioning: bool, lock: bool) -> None:
        self.made[gateway.hostname][name] = account.id

    def buckets(self, gateway: Gateway, account: ObjectStorage) -> list[Bucket]:
        return [Bucket(name, "2026-01-01T00:00:00+00:00") for name, owner in self.made[gateway.hostname].items() if owner == account.id]

    def delete_bucket(self, gateway: Gateway, name: str) -> None:
        del self.made[gateway.hostname][name]


@dataclass
class Vultr:
    """The API as a client with the right key sees it, and what stands behind it."""

    state: Path
    machines: FakeMachines = field(default_factory=FakeMachines)
    storage: FakeStorage = field(default_factory=FakeStorage)
    vpc2: str = "gone"

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Start the API process, so to speak."""
        config = Config(cluster="test", state=self.state, vpc2=self.vpc2)
        self.key = read_key(config)
        self.parts = make_parts(config, self.machines, self.storage)
        self.client = TestClient(make_app(self.parts, self.key), base_url="https://api.vultr.com", raise_server_exceptions=False)
        self.parts.hosting.glance_seconds = 0
        self.parts.hosting.resume()

    def close(self) -> None:
        self.parts.hosting.stop()

    def restart(self) -> None:
        """End the process and start the next one on the same state folder."""
        self.close()
        self.open()

    def call(self, method: str, path: str, body: Any = None, status: int | None = None, **options: Any) -> Any:
        """One request; its body, after the status was found to be the expected one (any success when none is given)."""
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        response = self.client.request(method, path, json=body, headers=headers, **options)
        good = response.status_code == status if status else response.status_code < 300
        assert good, f"{method} {path}: {response.status_code} {response.text}"
        if response.status_code != 204:
            assert response.headers["content-type"] == "application/json"
        return response.json() if response.content else None

    def error(self, method: str, path: str, body: Any = None, status: int = 400, **options: Any) -> str:
        """The sentence of a request that is refused with `status`."""
        answer = self.call(method, path, body, status, **options)
        assert set(answer) == {"error", "status"} and answer["status"] == status
        return answer["error"]

    def vpc(self, subnet: str = "10.20.0.0") -> str:
        return self.call("POST", "/v2/vpcs", {"region": "ams", "description": "net", "v4_subnet": subnet, "v4_subnet_mask": 24}, 201)[
            "vpc"
        ]["id"]

    def instance(self, label: str = "one", *, wait: bool = True, **more: Any) -> dict[str, Any]:
        """A new instance, active unless `wait` is false."""
        body = {"region": "ams", "plan": "vhp-1c-2gb-amd", "os_id": 2625, "label": label, "hostname": label, **more}
        made = self.call("POST", "/v2/instances", body, 202)["instance"]
        return self.settled(made["id"]) if wait else made

    def get(self, instance_id: str) -> dict[str, Any]:
        return self.call("GET", f"/v2/instances/{instance_id}")["instance"]

    def settled(self, instance_id: str) -> dict[str, Any]:
        """The instance once it has booted."""
        until(lambda: self.get(instance_id)["server_status"] == "ok")
        return self.get(instance_id)

    def faults(self, **faults: Any) -> None:
        self.call("PUT", "/_emu/faults", faults)


@pytest.fixture
def vultr(tmp_path: Path) -> Iterator[Vultr]:
    api = Vultr(tmp_path / "vultr")
    yield api
    api.close()
