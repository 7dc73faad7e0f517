"""The Docker engine: how to reach it, how our things are marked, how all of them are removed."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

LABEL = "elephant.cluster"
TIMEOUT = 60
_local = threading.local()
_networks = threading.Lock()


class EngineError(Exception):
    """The engine cannot do what was asked; the message is for the person at the keyboard."""


@dataclass(frozen=True)
class File:
    """A file to be put into a container."""

    path: str
    data: bytes
    mode: int = 0o644


def client() -> docker.DockerClient:
    """This thread's client: the SDK's session is not made for several."""
    if not hasattr(_local, "client"):
        _local.client = docker.from_env(timeout=TIMEOUT)
    return _local.client


@contextmanager
def asking() -> Iterator[docker.DockerClient]:
    """The client; every failure of the engine comes out as one sentence."""
    try:
        yield client()
    except ImageNotFound as error:
        raise EngineError(f"The Docker engine has no such image: {error.explanation}.") from error
    except APIError as error:
        raise EngineError(f"The Docker engine refused: {error.explanation or error}") from error
    except (DockerException, requests.exceptions.RequestException) as error:
        _local.__dict__.pop("client", None)
        raise EngineError(
            "The Docker engine of this machine does not answer: start it (`systemctl start docker`, or `dockerd`)."
        ) from error


def labels(cluster: str, **more: str) -> dict[str, str]:
    """The marks of what is ours: without them nothing is ever touched."""
    return {LABEL: cluster, **{f"elephant.{key}": value for key, value in more.items()}}


def put_files(container: docker.models.containers.Container, files: list[File]) -> None:
    """Copy files (and the folders above them) into a container, running or not."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode = len(file.data), file.mode
            archive.addfile(entry, io.BytesIO(file.data))
    container.put_archive("/", buffer.getvalue())


def ensure_network(name: str, cidr: str, gateway: str, cluster: str, *, internal: bool, mtu: int) -> None:
    """A bridge of that name with that range, made when missing."""
    with _networks, asking() as docker_client:
        if docker_client.networks.list(names=[f"^{name}$"]):
            return
        pool = docker.types.IPAMPool(subnet=cidr, gateway=gateway)
        docker_client.networks.create(
            name,
            driver="bridge",
            internal=internal,
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
            labels=labels(cluster),
            options={"com.docker.network.driver.mtu": str(mtu)},
        )


def remove_network(name: str) -> None:
    """Remove a network; gone already is fine."""
    with asking() as docker_client:
        for network in docker_client.networks.list(names=[f"^{name}$"]):
            _gone(network.remove)


def remove_all(cluster: str) -> list[str]:
    """Remove what carries this cluster's label, containers first, then networks, then volumes; says what went. Safe to repeat."""
    removed = []
    marked = {"label": f"{LABEL}={cluster}"}
    with asking() as docker_client:
        for container in docker_client.containers.list(all=True, ignore_removed=True, filters=marked):
            _gone(lambda thing=container: thing.remove(force=True, v=True))
            removed.append(f"container {container.name}")
        for network in docker_client.networks.list(filters=marked):
            _gone(network.remove)
            removed.append(f"network {network.name}")
        for volume in docker_client.volumes.list(filters=marked):
            _gone(volume.remove)
            removed.append(f"volume {volume.name}")
    return removed


def _gone(remove: Callable[[], object]) -> None:
    try:
        remove()
    except NotFound:
        return
