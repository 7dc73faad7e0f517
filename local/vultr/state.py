"""What the local Vultr knows, and the one file that keeps it.

Everything is plain data. A change happens inside `with store.change() as state:` and is on disk when the block has ended; a block
that raises leaves memory as the file has it.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.vultr.config import ConfigError

FORMAT = 1


def new_id() -> str:
    """An id as Vultr's are: a random UUID."""
    return str(uuid.uuid4())


def now() -> str:
    """The time as Vultr writes it: 2026-01-31T12:00:00+00:00."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class SshKey:
    id: str
    name: str
    ssh_key: str
    date_created: str


@dataclass
class Vpc:
    id: str
    region: str
    description: str
    v4_subnet: str
    v4_subnet_mask: int
    date_created: str

    @property
    def cidr(self) -> str:
        return f"{self.v4_subnet}/{self.v4_subnet_mask}"


@dataclass
class FirewallRule:
    id: int
    ip_type: str
    protocol: str
    port: str
    subnet: str
    subnet_size: int
    source: str
    notes: str


@dataclass
class FirewallGroup:
    id: str
    description: str
    date_created: str
    date_modified: str
    rules: list[FirewallRule] = field(default_factory=list)
    last_rule_id: int = 0


@dataclass
class Attachment:
    """An instance's place in a VPC."""

    vpc_id: str
    ip_address: str
    mac_address: str


@dataclass
class Instance:
    id: str
    label: str
    hostname: str
    region: str
    plan: str
    os_id: int
    tags: list[str]
    firewall_group_id: str
    sshkey_ids: list[str]
    user_data: str
    date_created: str
    main_ip: str
    vpcs: list[Attachment] = field(default_factory=list)
    status: str = "pending"
    power_status: str = "stopped"
    server_status: str = "none"
    wanted: str = "running"
    backup_schedule: dict[str, Any] = field(default_factory=dict)


@dataclass
class ObjectStorage:
    id: str
    cluster_id: int
    tier_id: int
    region: str
    label: str
    status: str
    s3_hostname: str
    s3_access_key: str
    s3_secret_key: str
    date_created: str


@dataclass
class Gateway:
    """The S3 server of one host name, shared by the subscriptions of that object storage cluster."""

    hostname: str
    address: str
    access_key: str
    secret_key: str


@dataclass
class State:
    ssh_keys: dict[str, SshKey] = field(default_factory=dict)
    vpcs: dict[str, Vpc] = field(default_factory=dict)
    firewall_groups: dict[str, FirewallGroup] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    object_storages: dict[str, ObjectStorage] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)


class Store:
    """The state in memory and in `file`; safe to use from several threads."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.RLock()
        self._state = _load(file)

    @contextmanager
    def read(self) -> Iterator[State]:
        """The state, held still while it is looked at."""
        with self._lock:
            yield self._state

    @contextmanager
    def change(self) -> Iterator[State]:
        """The state, to be changed and then written; an exception takes the change back."""
        with self._lock:
            try:
                yield self._state
            except BaseException:
                self._state = _load(self.file)
                raise
            _save(self.file, self._state)


def _load(file: Path) -> State:
    if not file.exists():
        return State()
    try:
        data = json.loads(file.read_text())
    except ValueError as error:
        raise ConfigError(f"{file} cannot be read ({error}): put back a copy, or remove everything and start anew.") from error
    if data.pop("format", None) != FORMAT:
        raise ConfigError(
            f"{file} is of another version of the local Vultr: run `python -m local.vultr remove-all`, delete it, start anew."
        )
    for group in data["firewall_groups"].values():
        group["rules"] = [FirewallRule(**rule) for rule in group["rules"]]
    for instance in data["instances"].values():
        instance["vpcs"] = [Attachment(**place) for place in instance["vpcs"]]
    kinds = {
        "ssh_keys": SshKey,
        "vpcs": Vpc,
        "firewall_groups": FirewallGroup,
        "instances": Instance,
        "object_storages": ObjectStorage,
        "gateways": Gateway,
    }
    return State(**{name: {key: kind(**value) for key, value in data[name].items()} for name, kind in kinds.items()})


def _save(file: Path, state: State) -> None:
    """Whole or not at all, also when the machine stops in between."""
    new = file.with_name(f".{file.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump({"format": FORMAT, **asdict(state)}, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)
