"""The local PostgreSQL, asked through its socket."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from settings import Settings

# Seconds until a connection is there.
PATIENCE = "30"


class NotRunning(Exception):
    """The local server does not answer."""


def ask(settings: Settings, sql: str) -> list[list[str]]:
    """Rows of text. Raises NotRunning when the server cannot be asked."""
    command = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--field-separator=\t", "--set=ON_ERROR_STOP=1"]
    command += [
        f"--host={settings.socket_directory}",
        f"--port={settings.port}",
        "--username=postgres",
        "--dbname=postgres",
        f"--command={sql}",
    ]
    # A server that hangs takes a connection and says nothing to it.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PGCONNECT_TIMEOUT": PATIENCE})
    if done.returncode != 0:
        raise NotRunning(" ".join(done.stderr.split()))
    return [line.split("\t") for line in done.stdout.splitlines()]


def leads(settings: Settings) -> bool:
    """Whether the local server may write."""
    return ask(settings, "SELECT pg_is_in_recovery()") == [["f"]]


def rank(settings: Settings) -> int:
    """How many members come before this one when a backup is due: standbys in the members' order, the leader last."""
    members = settings.members
    if leads(settings):
        rows = ask(settings, "SELECT host(client_addr) FROM pg_stat_replication WHERE state = 'streaming'")
        return len({row[0] for row in rows} & set(members.values()))
    rows = ask(settings, "SELECT sender_host FROM pg_stat_wal_receiver WHERE status = 'streaming'")
    if not rows:
        return len(members)
    others = [name for name, address in members.items() if rows[0][0] not in (name, address)]
    return others.index(settings.name) if settings.name in others else len(members)


def is_blank(settings: Settings) -> bool:
    """Whether there is no database on this host."""
    return not (Path(settings.data_directory) / "PG_VERSION").exists()


def answers(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False
