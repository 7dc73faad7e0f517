"""What this host is told by the role: one JSON file beside pgBackRest's own configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

PATH = Path("/etc/pgbackrest/elephant.json")


@dataclass(frozen=True)
class Settings:
    """Names and addresses of the members in their order, and when a backup is due (hours)."""

    stanza: str
    name: str
    members: dict[str, str]
    data_directory: str
    port: int
    socket_directory: str
    repositories: list[int]
    full_hours: float
    differential_hours: float
    grace_hours: float
    stagger_seconds: float
    minimum_free_mb: int
    # Of pgBackRest while the database runs beside it.
    processes: int = 1


def read(path: Path = PATH) -> Settings:
    """The settings of this host."""
    return Settings(**json.loads(path.read_text()))
