"""The few calls of Vultr's API that the console makes itself, and only ever to the local one."""

import ssl
import time
from dataclasses import dataclass

import httpx

from local import environment, vultr_process
from local.paths import Cluster
from local.say import Refusal

_PATIENCE = 90.0


@dataclass(frozen=True)
class Machine:
    """An instance as the console sees it."""

    id: str
    name: str
    address: str
    power: str


class Api:
    """A client of one cluster's local Vultr. Raises Refusal when what answers is something else."""

    def __init__(self, cluster: Cluster) -> None:
        vultr_process.insist(cluster)
        self._client = httpx.Client(
            base_url="https://api.vultr.com/v2",
            headers={"Authorization": f"Bearer {environment.api_key(cluster)}"},
            proxy=environment.proxy(cluster),
            verify=ssl.create_default_context(cafile=str(environment.certificate(cluster))),
            trust_env=False,
            timeout=60,
        )

    def machines(self) -> list[Machine]:
        """All instances, by name."""
        answer = self._client.get("/instances", params={"per_page": 500}).raise_for_status().json()
        found = [Machine(it["id"], it["label"], it["main_ip"], it["power_status"]) for it in answer["instances"]]
        return sorted(found, key=lambda machine: machine.name)

    def start(self, machine: Machine) -> None:
        """Power on, and wait until it runs."""
        self._client.post(f"/instances/{machine.id}/start").raise_for_status()
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            seen = self._client.get(f"/instances/{machine.id}").raise_for_status().json()["instance"]
            if seen["power_status"] == "running" and seen["server_status"] == "ok":
                return
            time.sleep(0.5)
        raise Refusal(f"{machine.name} was started and did not come up within {_PATIENCE:.0f} s; look at it with: docker logs")
