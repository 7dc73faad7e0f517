"""What is seen ten times a second: of a database node by itself, through its socket; of etcd, who holds the leader key."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import door
import units

UNIT = "elephant-drill-observer"
PERIOD = 0.1
# A server that does not answer so long is not up: it is frozen, or starts, or ends.
PATIENCE = 0.4
QUESTION = """
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver)
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,
       (SELECT coalesce(json_agg(application_name), '[]')::text FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
"""


class Server:
    """The local server, asked with a deadline of our own."""

    def __init__(self) -> None:
        self.conn: Any = None

    def look(self) -> dict[str, Any]:
        """One sample."""
        import psycopg2

        seen: dict[str, Any] = {"at": time.time(), "up": False, "recovery": None, "timeline": None, "synchronous": []}
        try:
            if self.conn is None:
                self.conn = psycopg2.connect("host=/run/postgresql dbname=postgres user=postgres application_name=elephant-drill", async_=1)
                self.wait()
            with self.conn.cursor() as cursor:
                cursor.execute(QUESTION)
                self.wait()
                recovery, timeline, names = cursor.fetchone()
        except (psycopg2.Error, TimeoutError, OSError):
            with contextlib.suppress(Exception):
                self.conn.close()
            self.conn = None
            return seen
        return seen | {"up": True, "recovery": recovery, "timeline": timeline, "synchronous": json.loads(names)}

    def wait(self) -> None:
        """Drive the connection until it is idle. Raises TimeoutError."""
        from psycopg2 import extensions

        deadline = time.monotonic() + PATIENCE
        while (state := self.conn.poll()) != extensions.POLL_OK:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            reads = [self.conn] if state == extensions.POLL_READ else []
            select.select(reads, [] if reads else [self.conn], [], left)


class LeaderKey(threading.Thread):
    """Follows the key by etcd's own watch, through any member."""

    def __init__(self, key: str, endpoints: str) -> None:
        super().__init__(daemon=True)
        self.key, self.leader = key, None
        self.env = units.etcdctl_environment(endpoints)

    def run(self) -> None:
        while True:
            words = ["etcdctl", "get", "--print-value-only", self.key]
            shown = subprocess.run(words, env=self.env, capture_output=True, text=True, check=False)
            if shown.returncode == 0:
                self.leader = shown.stdout.strip() or None
                self.follow()
            time.sleep(0.2)

    def follow(self) -> None:
        words = ["etcdctl", "watch", "--write-out=json", self.key]
        with subprocess.Popen(words, env=self.env, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or []:
                for event in json.loads(line).get("Events") or []:
                    value = event.get("kv", {}).get("value")
                    self.leader = base64.b64decode(value).decode() if value and event.get("type") not in (1, "DELETE") else None

    def look(self) -> dict[str, Any]:
        """One sample."""
        return {"at": time.time(), "leader": self.leader}


def record(observed: Server | LeaderKey, file: str) -> None:
    """The unit's main: a line for each look until SIGTERM; kept from a power cut once a second."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with Path(file).open("a", buffering=1) as out:
        synced = time.monotonic()
        while not ended.is_set():
            began = time.monotonic()
            out.write(json.dumps(observed.look()) + "\n")
            if began - synced > 1:
                os.fsync(out.fileno())
                synced = began
            ended.wait(max(0.0, began + PERIOD - time.monotonic()))


def record_server(file: str) -> None:
    """Of this node's own server."""
    record(Server(), file)


def record_etcd(file: str, key: str, endpoints: str) -> None:
    """Of the cluster's leader key."""
    key_ = LeaderKey(key, endpoints)
    key_.start()
    record(key_, file)


def observe(file: str, key: str = "", endpoints: str = "", client: str = "", user: str = "", again: bool = False) -> None:
    """Start observing, and let the client in. `again`: on a node that may have been away, go on in the same file."""
    if again and units.runs(UNIT):
        return
    # One that an interrupted drill left writes into another cycle's record.
    units.stop(UNIT)
    if client:
        door.open_(client, user)
    folder = Path(file).parent
    folder.mkdir(parents=True, exist_ok=True)
    if key:
        Path(file).unlink(missing_ok=True)
        units.start(UNIT, "record-etcd", {"file": file, "key": key, "endpoints": endpoints})
        return
    # The postmaster's user asks its own socket as peer.
    folder.chmod(0o777)
    units.start(UNIT, "record-server", {"file": file}, user="postgres")


def still(folder: str) -> dict[str, Any]:
    """Stop observing, and hand over what this host recorded in the cycle."""
    units.stop(UNIT)
    return {"records": units.packed(Path(folder))}


VERBS = {"record-server": record_server, "record-etcd": record_etcd, "observe": observe, "still": still}
