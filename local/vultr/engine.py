"""The Docker engine: how to reach it, how our things are marked, how all of them are removed."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

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
    """Remove what carries this cluster's label, containers first, then networks, then volumes; says what went. Safe to repeat.

    An instance that was just booting can appear while the others go, and holds its network: looked again until nothing is left.
    """
    removed: dict[str, None] = {}
    deadline = time.monotonic() + TIMEOUT
    with asking() as docker_client:
        while True:
            went, refused = _remove_what_is_there(docker_client, {"label": f"{LABEL}={cluster}"})
            removed.update(dict.fromkeys(went))
            if refused is not None and time.monotonic() > deadline:
                raise refused
            if refused is None and not went:
                return list(removed)
            if not went:
                time.sleep(0.5)


def _remove_what_is_there(docker_client: docker.DockerClient, marked: dict[str, str]) -> tuple[list[str], APIError | None]:
    """One pass; what went, and the last refusal: a network that is in use again, a container that is being removed by somebody else."""
    went: list[str] = []
    refused: APIError | None = None
    kinds = {
        "container": lambda: docker_client.containers.list(all=True, ignore_removed=True, filters=marked),
        "network": lambda: docker_client.networks.list(filters=marked),
        "volume": lambda: docker_client.volumes.list(filters=marked),
    }
    for kind, listed in kinds.items():
        for thing in listed():
            try:
                _gone(partial(thing.remove, force=True, v=True) if kind == "container" else thing.remove)
                went.append(f"{kind} {thing.name}")
            except APIError as error:
                refused = error
    return went, refused


def _gone(remove: Callable[[], object]) -> None:
    try:
        remove()
    except NotFound:
        return
