"""Machines: an instance as a systemd container, with a public network and one network per VPC."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Protocol

import docker
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from docker.errors import NotFound
from docker.models.containers import Container

from local.vultr import engine
from local.vultr.config import Config
from local.vultr.engine import EngineError, File, asking, labels

CA_FILE = "/usr/local/share/ca-certificates/elephant-local-vultr.crt"
# Vultr's own MTU inside a VPC.
VPC_MTU = 1450
# What lets systemd boot without a privileged container, found by trying.
OPTIONS = {
    "command": "/usr/local/sbin/host-init",
    "stop_signal": "SIGRTMIN+3",
    "cgroupns": "private",
    "cap_add": ["SYS_ADMIN", "NET_ADMIN"],
    # Docker's AppArmor profile forbids every mount; where the kernel has no AppArmor the word is ignored.
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "tmpfs": {"/run": "", "/run/lock": "", "/tmp": "exec"},
    "tty": True,
}


@dataclass(frozen=True)
class Nic:
    """A place in a VPC's network."""

    network: str
    address: str


@dataclass(frozen=True)
class Machine:
    """What a machine is made from."""

    id: str
    label: str
    hostname: str
    address: str
    authorized_keys: list[str] = field(default_factory=list)
    nics: list[Nic] = field(default_factory=list)


class Machines(Protocol):
    """What the API needs of whatever runs the machines."""

    def problems(self) -> list[str]:
        """Sentences about what is missing, empty when machines can be made."""

    def offers(self, os_name: str) -> bool:
        """Whether a machine with this operating system can be made."""

    def ensure_vpc(self, network: str, cidr: IPv4Network) -> None:
        """Make the network of a VPC."""

    def remove_vpc(self, network: str) -> None:
        """Remove the network of a VPC."""

    def start(self, machine: Machine) -> None:
        """Power on; a machine that does not exist (any more) is made from scratch first."""

    def kill(self, machine_id: str) -> None:
        """Cut the power; off already is fine."""

    def remove(self, machine_id: str) -> None:
        """Destroy the machine and its disk; gone already is fine."""

    def attach(self, machine_id: str, nic: Nic) -> None:
        """Plug a machine into a VPC."""

    def detach(self, machine_id: str, network: str) -> None:
        """Unplug a machine from a VPC."""

    def running(self) -> dict[str, bool]:
        """Id of every machine that exists, and whether it is powered on."""

    def answers(self, machine: Machine) -> bool:
        """Whether the machine has booted so far that its SSH port is open."""


class DockerMachines:
    """Machines made by the Docker engine of this machine."""

    def __init__(self, config: Config, ca: bytes) -> None:
        self._config = config
        self._ca = ca
        self.public_network = f"elephant-{config.cluster}-public"

    def problems(self) -> list[str]:
        try:
            with asking() as client:
                if not client.images.list(name=self._config.image):
                    return [f"The Docker engine has no image {self._config.image} (ELEPHANT_IMAGE): build the host image first."]
        except EngineError as error:
            return [str(error)]
        return []

    def offers(self, os_name: str) -> bool:
        return os_name.startswith("Debian 13 ")

    def ensure_vpc(self, network: str, cidr: IPv4Network) -> None:
        engine.ensure_network(network, str(cidr), str(cidr[1]), self._config.cluster, internal=True, mtu=VPC_MTU)

    def remove_vpc(self, network: str) -> None:
        engine.remove_network(network)

    def ensure_public(self) -> None:
        """The network that stands for the internet side of every machine; the only one with a way out."""
        cidr = self._config.public_network
        try:
            engine.ensure_network(self.public_network, str(cidr), str(cidr[1]), self._config.cluster, internal=False, mtu=1500)
        except EngineError as error:
            if "overlap" not in str(error):
                raise
            raise EngineError(f"{cidr} is in use by another Docker network: set ELEPHANT_PUBLIC_NETWORK to a free range.") from error

    def start(self, machine: Machine) -> None:
        with asking() as client:
            container = self._find(client, machine.id)
            fresh = container is None
            if container is None:
                self.ensure_public()
                container = self._create(client, machine)
            if container.status == "running":
                return
            # Docker plugs networks in any order: VPCs come after the start, so that eth0 is always the public one.
            for nic in machine.nics:
                _unplug(client, nic.network, container)
            container.start()
            for nic in machine.nics:
                client.networks.get(nic.network).connect(container, ipv4_address=nic.address)
            if fresh:
                # Not in /tmp, which the boot empties meanwhile.
                code, output = container.exec_run(["update-ca-certificates"], environment={"TMPDIR": "/var/cache"})
                if code:
                    raise EngineError(f"{machine.label} does not take the local CA: {output.decode(errors='replace').strip()}")

    def kill(self, machine_id: str) -> None:
        with asking() as client:
            container = self._find(client, machine_id)
            if container is not None and container.status == "running":
                container.kill()
                container.wait(timeout=engine.TIMEOUT)

    def remove(self, machine_id: str) -> None:
        with asking() as client:
            container = self._find(client, machine_id)
            if container is not None:
                container.remove(force=True, v=True)

    def attach(self, machine_id: str, nic: Nic) -> None:
        with asking() as client:
            container = self._find(client, machine_id)
            if container is not None:
                client.networks.get(nic.network).connect(container, ipv4_address=nic.address)

    def detach(self, machine_id: str, network: str) -> None:
        with asking() as client:
            container = self._find(client, machine_id)
            if container is not None:
                _unplug(client, network, container)

    def running(self) -> dict[str, bool]:
        with asking() as client:
            rows = client.api.containers(all=True, filters={"label": self._marks()})
        return {row["Labels"]["elephant.instance"]: row["State"] == "running" for row in rows}

    def answers(self, machine: Machine) -> bool:
        try:
            with socket.create_connection((machine.address, 22), timeout=1) as connection:
                return connection.recv(4).startswith(b"SSH")
        except OSError:
            return False

    def _marks(self, **more: str) -> list[str]:
        return [f"{key}={value}" for key, value in labels(self._config.cluster, kind="instance", **more).items()]

    def _find(self, client: docker.DockerClient, machine_id: str) -> Container | None:
        found = client.containers.list(all=True, ignore_removed=True, filters={"label": self._marks(instance=machine_id)})
        return found[0] if found else None

    def _create(self, client: docker.DockerClient, machine: Machine) -> Container:
        name = f"elephant-{self._config.cluster}-{re.sub(r'[^A-Za-z0-9_.-]', '-', machine.label)}-{machine.id[:8]}"
        endpoint = client.api.create_endpoint_config(ipv4_address=machine.address)
        container = client.containers.create(
            self._config.image,
            name=name,
            hostname=machine.hostname,
            labels=labels(self._config.cluster, kind="instance", instance=machine.id, label=machine.label),
            network=self.public_network,
            networking_config={self.public_network: endpoint},
            **OPTIONS,
        )
        try:
            engine.put_files(container, [*_identity(machine), File(CA_FILE, self._ca)])
        except BaseException:
            container.remove(force=True, v=True)
            raise
        return container


def _unplug(client: docker.DockerClient, network: str, container: Container) -> None:
    """Take a container out of a network; not in it is fine."""
    container.reload()
    if network in container.attrs["NetworkSettings"]["Networks"]:
        try:
            client.networks.get(network).disconnect(container, force=True)
        except NotFound:
            return


def _identity(machine: Machine) -> list[File]:
    """What makes a machine this one: who may log in, and host keys that no other machine has (the image's are overwritten)."""
    keys = {
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ecdsa": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 3072),
    }
    files = [File("/root/.ssh/authorized_keys", "".join(f"{key}\n" for key in machine.authorized_keys).encode(), 0o600)]
    for kind, key in keys.items():
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        files.append(File(f"/etc/ssh/ssh_host_{kind}_key", private, 0o600))
        files.append(File(f"/etc/ssh/ssh_host_{kind}_key.pub", public + f" root@{machine.hostname}\n".encode()))
    return files
