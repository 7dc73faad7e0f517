"""Object storage: a versitygw with TLS per host name, each in a container of its own.

One server answers for one object storage cluster (`ewr1.vultrobjects.com`), as on Vultr; every subscription is an account on it.
The machines find it by that very name, because the container has it as an alias in their public network, and trust it, because its
certificate is signed by our CA.
"""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from typing import Protocol

import docker
from docker.models.containers import Container

from local.vultr import engine
from local.vultr.ca import Authority
from local.vultr.config import Config
from local.vultr.engine import EngineError, File, asking, labels
from local.vultr.machines import DockerMachines
from local.vultr.s3 import S3, S3Error
from local.vultr.state import Gateway, ObjectStorage

PROGRAM = "/usr/local/bin/versitygw"
DATA = "/srv/data"
START_SECONDS = 30


@dataclass(frozen=True)
class Bucket:
    name: str
    date_created: str


class BucketError(Exception):
    """The S3 server refused something about a bucket; the message is a sentence."""


class Storage(Protocol):
    """What the API needs of whatever stores objects."""

    def problems(self) -> list[str]:
        """Sentences about what is missing, empty when storage can be made."""

    def open(self, gateway: Gateway) -> None:
        """Have the server of that host name running."""

    def close(self, gateway: Gateway) -> None:
        """Remove a server and all that it stores."""

    def add_account(self, gateway: Gateway, account: ObjectStorage) -> None:
        """Let a subscription's keys in; in already is fine."""

    def remove_account(self, gateway: Gateway, account: ObjectStorage) -> None:
        """Shut a subscription's keys out."""

    def create_bucket(self, gateway: Gateway, account: ObjectStorage, name: str, *, versioning: bool, lock: bool) -> None:
        """Make a bucket; BucketError when the server refuses."""

    def buckets(self, gateway: Gateway, account: ObjectStorage) -> list[Bucket]:
        """The subscription's buckets, by whichever way they were made."""

    def delete_bucket(self, gateway: Gateway, name: str) -> None:
        """Delete a bucket with all that is in it."""


class DockerStorage:
    """Object storage made by the Docker engine of this machine."""

    def __init__(self, config: Config, machines: DockerMachines, authority: Authority) -> None:
        self._config = config
        self._machines = machines
        self._authority = authority
        self._lock = threading.Lock()

    def problems(self) -> list[str]:
        if not self._config.versitygw.is_file():
            return [f"There is no versitygw at {self._config.versitygw} (ELEPHANT_VERSITYGW): object storage cannot be made."]
        return []

    def open(self, gateway: Gateway) -> None:
        if problems := self.problems():
            raise EngineError(problems[0])
        with self._lock, asking() as client:
            container = self._find(client, gateway)
            if container is not None and container.status == "running":
                return
            if container is None:
                self._machines.ensure_public()
                container = self._create(client, gateway)
            container.start()
            self._wait(gateway, container)

    def close(self, gateway: Gateway) -> None:
        with asking() as client:
            container = self._find(client, gateway)
            if container is not None:
                container.remove(force=True)
            for volume in client.volumes.list(filters={"name": f"^{self._name(gateway)}$"}):
                volume.remove()

    def add_account(self, gateway: Gateway, account: ObjectStorage) -> None:
        self.open(gateway)
        keys = ["--access", account.s3_access_key, "--secret", account.s3_secret_key]
        self._admin(gateway, ["create-user", *keys, "--role", "userplus"], unless="exist")

    def remove_account(self, gateway: Gateway, account: ObjectStorage) -> None:
        self.open(gateway)
        self._admin(gateway, ["delete-user", "--access", account.s3_access_key], unless="not found")

    def create_bucket(self, gateway: Gateway, account: ObjectStorage, name: str, *, versioning: bool, lock: bool) -> None:
        s3 = self._client(gateway, account)
        try:
            s3.create_bucket(name, object_lock=lock)
            if versioning and not lock:
                s3.enable_versioning(name)
        except S3Error as error:
            raise BucketError(f"The bucket {name} cannot be made on {gateway.hostname}: {error}") from error

    def buckets(self, gateway: Gateway, account: ObjectStorage) -> list[Bucket]:
        return [Bucket(name, created) for name, created in self._client(gateway, account).list_buckets()]

    def delete_bucket(self, gateway: Gateway, name: str) -> None:
        with asking() as client:
            container = self._found(client, gateway)
            container.exec_run(["rm", "-rf", f"{DATA}/buckets/{name}", f"{DATA}/versions/{name}"])

    def _client(self, gateway: Gateway, account: ObjectStorage) -> S3:
        self.open(gateway)
        return S3(gateway.hostname, gateway.address, self._authority.pem.decode(), account.s3_access_key, account.s3_secret_key)

    def _name(self, gateway: Gateway) -> str:
        return f"elephant-{self._config.cluster}-storage-{gateway.hostname.partition('.')[0]}"

    def _find(self, client: docker.DockerClient, gateway: Gateway) -> Container | None:
        marks = labels(self._config.cluster, kind="storage", hostname=gateway.hostname)
        found = client.containers.list(all=True, ignore_removed=True, filters={"label": [f"{key}={value}" for key, value in marks.items()]})
        return found[0] if found else None

    def _found(self, client: docker.DockerClient, gateway: Gateway) -> Container:
        self.open(gateway)
        container = self._find(client, gateway)
        if container is None:
            raise EngineError(f"The container of {gateway.hostname} has vanished: repeat the call.")
        return container

    def _create(self, client: docker.DockerClient, gateway: Gateway) -> Container:
        network, name = self._machines.public_network, self._name(gateway)
        certificate, key = self._authority.issue(gateway.hostname)
        client.volumes.create(name, labels=labels(self._config.cluster))
        program = [PROGRAM, "--port=:443", "--cert=/srv/tls.crt", "--key=/srv/tls.key", f"--iam-dir={DATA}/iam", "--quiet"]
        backend = ["posix", f"--versioning-dir={DATA}/versions", f"{DATA}/buckets"]
        container = client.containers.create(
            self._config.image,
            name=name,
            hostname=name,
            labels=labels(self._config.cluster, kind="storage", hostname=gateway.hostname),
            command=[*program, *backend],
            environment={"ROOT_ACCESS_KEY": gateway.access_key, "ROOT_SECRET_KEY": gateway.secret_key},
            volumes={str(self._config.versitygw): {"bind": PROGRAM, "mode": "ro"}, name: {"bind": DATA, "mode": "rw"}},
            network=network,
            networking_config={network: client.api.create_endpoint_config(ipv4_address=gateway.address, aliases=[gateway.hostname])},
        )
        try:
            # An empty file brings its folder: versitygw wants them to be there.
            keep = [File(f"{DATA}/{folder}/.keep", b"") for folder in ("buckets", "versions", "iam")]
            engine.put_files(container, [File("/srv/tls.crt", certificate), File("/srv/tls.key", key, 0o600), *keep])
        except BaseException:
            container.remove(force=True)
            raise
        return container

    def _wait(self, gateway: Gateway, container: Container) -> None:
        """Until the server answers its own operator."""
        s3 = S3(gateway.hostname, gateway.address, self._authority.pem.decode(), gateway.access_key, gateway.secret_key)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                s3.list_buckets()
                return
            except (OSError, ssl.SSLError, S3Error) as error:
                container.reload()
                if container.status != "running" or time.monotonic() > deadline:
                    said = container.logs(tail=5).decode(errors="replace").strip()
                    raise EngineError(f"The object storage {gateway.hostname} does not start: {said or error}") from error
                time.sleep(0.1)

    def _admin(self, gateway: Gateway, command: list[str], unless: str) -> None:
        """One call of versitygw's admin tool; a failure whose text has the words `unless` is what we wanted."""
        environment = {"ADMIN_ACCESS_KEY": gateway.access_key, "ADMIN_SECRET_KEY": gateway.secret_key}
        prefix = [PROGRAM, "admin", "--allow-insecure", "--endpoint-url", "https://127.0.0.1"]
        with asking() as client:
            code, output = self._found(client, gateway).exec_run([*prefix, *command], environment=environment)
        said = output.decode(errors="replace").strip()
        if code and unless not in said.lower():
            raise EngineError(f"{gateway.hostname}: {said}")
