# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""One cycle of a drill as it was recorded: read, put on the clients' clock, and refused where it is not whole.

All times are seconds since the epoch on the clock of the host that runs the clients; `clock.json` says how far each
observer's clock is ahead of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
Key = tuple[str, int]
# Lines of one observer that may be cut off: its host is lost and comes back a few times at most.
TORN = 5


class Malformed(Exception):
    """The record cannot be read; says where, and what was expected."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row that a client tried to commit."""

    client: str
    sequence: int
    started: float
    ended: float
    outcome: str
    sqlstate: str | None
    server: str | None
    timeline: int | None

    @property
    def key(self) -> Key:
        """What the row is known by in the table."""
        return self.client, self.sequence


@dataclass(frozen=True, slots=True)
class Sample:
    """What one observer saw of one database node; `recovery` is null where the node did not answer."""

    at: float
    up: bool
    recovery: bool | None
    timeline: int | None
    synchronous: tuple[str, ...]

    @property
    def primary(self) -> bool:
        """Whether the node said that it takes writes."""
        return self.up and self.recovery is False


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done, and when. `whole` is when a synchronous standby was there again; null when it did not come.

    `parted`: the standby received nothing just before the fault, so that the leader wrote what nobody else has.
    `timed`: seconds are judged; on a machine that others load too they are only reported.
    `moves`: it should end with another leader.
    """

    name: str
    node: str
    title: str
    armed: float
    injected: float
    healed: float
    whole: float | None
    settings: dict[str, Any]
    bound: float | None
    load: dict[str, Any]
    old_primary: str | None
    errors: tuple[str, ...]
    parted: bool = False
    timed: bool = True
    moves: bool = False


@dataclass
class Cycle:
    """Everything recorded of one cycle."""

    path: Path
    fault: Fault
    attempts: list[Attempt]
    observers: dict[str, list[Sample]]
    etcd: list[tuple[float, str | None]]
    rows: dict[Key, int]
    rows_again: dict[Key, int] | None
    clock: dict[str, float] = field(default_factory=dict)

    @property
    def roaming(self) -> list[Attempt]:
        """Attempts of the clients that go wherever the connection string leads."""
        return [it for it in self.attempts if it.client.startswith("any-")]


def read_cycle(folder: Path) -> Cycle:
    """Read the folder of one cycle. Raises Malformed with a sentence that names the file and the line."""
    fault = _fault(folder / "fault.json")
    clocks = folder / "clock.json"
    clock = {name: _number(value, f"{clocks}: the offset of {name}") for name, value in _object(clocks).items()}
    writers = sorted(folder.glob("writer-*.jsonl"))
    if not writers:
        raise Malformed(f"{folder} has no writer-<client>.jsonl: the clients recorded nothing.")
    observers: dict[str, list[Sample]] = {}
    for file in sorted(folder.glob("observer-*.jsonl")):
        name = file.stem.removeprefix("observer-")
        if name != "etcd":
            if name not in clock:
                raise Malformed(f"{clocks} does not say how far the clock of {name} is from the clients': its times mean nothing.")
            observers[name] = [_sample(record, where, clock[name]) for where, record in _records(file, torn=True)]
    again = folder / "rows-again.jsonl"
    return Cycle(
        path=folder,
        fault=fault,
        attempts=sorted((_attempt(record, where) for file in writers for where, record in _records(file)), key=lambda it: it.started),
        observers=observers,
        etcd=[_etcd(record, where, clock.get("etcd", 0.0)) for where, record in _records(folder / "observer-etcd.jsonl", torn=True)],
        rows=_rows(folder / "rows.jsonl"),
        rows_again=_rows(again) if again.exists() else None,
        clock=clock,
    )


def _fault(file: Path) -> Fault:
    found = _object(file)
    times = {name: _number(found.get(name), f"{file}: {name}") for name in ("armed", "injected", "healed")}
    if not times["armed"] <= times["injected"] <= times["healed"]:
        raise Malformed(f"{file}: armed, injected and healed are not in this order.")
    name, node = found.get("fault"), found.get("node")
    if not isinstance(name, str) or not isinstance(node, str):
        raise Malformed(f"{file}: fault and node must be names.")
    optional = {key: None if found.get(key) is None else _number(found[key], f"{file}: {key}") for key in ("whole", "bound")}
    errors = found.get("errors", [])
    if not isinstance(errors, list):
        raise Malformed(f"{file}: errors must be a list of sentences.")
    return Fault(
        name=name,
        node=node,
        title=str(found.get("title") or name),
        settings=dict(found.get("settings") or {}),
        load=dict(found.get("load") or {}),
        old_primary=found.get("old_primary"),
        errors=tuple(str(it) for it in errors),
        parted=bool(found.get("parted", False)),
        timed=bool(found.get("timed", True)),
        moves=bool(found.get("moves", False)),
        **times,
        **optional,
    )


def _attempt(record: dict[str, Any], where: str) -> Attempt:
    outcome = record.get("outcome")
    if outcome not in (OK, FAILED, UNKNOWN):
        raise Malformed(f"{where}: outcome is {outcome!r}; it must be ok, failed or unknown.")
    started, ended = _number(record.get("started"), f"{where}: started"), _number(record.get("ended"), f"{where}: ended")
    if ended < started:
        raise Malformed(f"{where}: it ended before it started.")
    client, sequence = _key(record, where)
    return Attempt(client, sequence, started, ended, outcome, record.get("sqlstate"), record.get("server"), record.get("timeline"))


def _sample(record: dict[str, Any], where: str, ahead: float) -> Sample:
    up, recovery = record.get("up"), record.get("recovery")
    if not isinstance(up, bool) or recovery not in (True, False, None):
        raise Malformed(f"{where}: up must be true or false, recovery true, false or null.")
    names = record.get("synchronous") or []
    return Sample(_number(record.get("at"), f"{where}: at") - ahead, up, recovery, record.get("timeline"), tuple(str(it) for it in names))


def _etcd(record: dict[str, Any], where: str, ahead: float) -> tuple[float, str | None]:
    return _number(record.get("at"), f"{where}: at") - ahead, record.get("leader")


def _rows(file: Path) -> dict[Key, int]:
    rows: dict[Key, int] = {}
    for where, record in _records(file):
        key = _key(record, where)
        rows[key] = rows.get(key, 0) + int(_number(record.get("count"), f"{where}: count"))
    return rows


def _key(record: dict[str, Any], where: str) -> Key:
    client, sequence = record.get("client"), record.get("sequence")
    if not isinstance(client, str) or isinstance(sequence, bool) or not isinstance(sequence, int):
        raise Malformed(f"{where}: client must be a name and sequence a whole number.")
    return client, sequence


def _records(file: Path, torn: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line with its place. `torn` bears a few lines that were cut off, as by the death of the host that wrote them."""
    try:
        lines = file.read_text(errors="replace" if torn else "strict").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"{file} cannot be read: {error}") from error
    left = TORN if torn else 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            left -= 1
            if left < 0:
                raise Malformed(f"{where} is not JSON: {error}") from error
            continue
        if not isinstance(record, dict):
            raise Malformed(f"{where} is not an object.")
        yield where, record


def _object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"{file} cannot be read: {error}") from error
    except ValueError as error:
        raise Malformed(f"{file} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Malformed(f"{file} is not an object.")
    return found


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        raise Malformed(f"{what} is {value!r}; it must be a number.")
    return float(value)
