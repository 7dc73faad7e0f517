"""The clients of a cycle: writers that go through the printed connection string, one more pinned to each node, and what they write down.

Every attempt is a row (client, sequence, time) in a transaction of its own. `ok` is a COMMIT that was acknowledged without a notice;
`failed` is one that cannot have been committed; all else is `unknown`: a COMMIT that was sent and not answered, or that came with the
warning of a cancelled wait.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import load
import units

RATE = units.FOLDER / "rate.json"
UNIT = "elephant-drill-clients"
# SQLSTATEs with which the server answers a COMMIT that it did not carry out.
REFUSED = ("25006", "40001", "40P01", "25P02", "53100", "53200", "53300")
INSERT = """
INSERT INTO elephant_drill.attempts VALUES (%s, %s, to_timestamp(%s)) RETURNING pg_walfile_name(pg_current_wal_insert_lsn())
"""
TABLE = "CREATE TABLE elephant_drill.attempts (client text NOT NULL, sequence bigint NOT NULL, attempted timestamptz NOT NULL)"
# A client without a connection tries again so soon.
RETRY = 0.1
# Where writes are refused (a standby), to ask at the writers' pace would only fill its log.
REFUSED_RETRY = 0.1


class Writer(threading.Thread):
    """One client. `patience` is an application's own time limit: the connection is dropped, nothing is cancelled."""

    def __init__(self, name: str, conninfo: str, names: dict[str, str], folder: Path, period: float, session: str) -> None:
        super().__init__(name=name, daemon=True)
        self.conninfo, self.names, self.period, self.session = conninfo, names, period, session
        self.file = (folder / f"writer-{name}.jsonl").open("a", buffering=1)
        self.conn: Any = None
        self.since: float | None = None
        self.noticed = False
        self.stopping = threading.Event()
        self.sequence = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            outcome = self.attempt()
            pause = self.period if outcome == "ok" else REFUSED_RETRY if self.conn is not None else RETRY
            self.stopping.wait(max(0.0, began + pause - time.monotonic()) if outcome == "ok" else pause)
        self.file.close()

    def attempt(self) -> str:
        """Try one row and write down what became of it."""
        import psycopg

        self.sequence += 1
        row: dict[str, Any] = {"client": self.name, "sequence": self.sequence, "started": time.time()}
        row |= {"outcome": "failed", "sqlstate": None, "error": None, "server": None, "timeline": None}
        self.noticed, sent = False, False
        try:
            if self.conn is None:
                self.connect()
            row["server"] = self.names.get(self.conn.info.hostaddr or self.conn.info.host)
            self.since = time.monotonic()
            found = self.conn.execute(
                INSERT,
                (self.name, self.sequence, row["started"]),
            ).fetchone()
            row["timeline"] = int(found[0][:8], 16)
            sent = True
            self.conn.commit()
            row["outcome"] = "unknown" if self.noticed else "ok"
        except psycopg.Error as error:
            row["sqlstate"] = error.sqlstate
            row["error"] = " ".join(str(error).split())[:300]
            row["outcome"] = "unknown" if sent and error.sqlstate not in REFUSED else "failed"
            self.recover()
        self.since = None
        row["ended"] = time.time()
        self.file.write(json.dumps(row) + "\n")
        return row["outcome"]

    def connect(self) -> None:
        import psycopg

        conn = psycopg.connect(self.conninfo, autocommit=True)
        # Whatever the server remarks on a COMMIT makes it doubtful: the warning of a cancelled wait for the standby comes with a success.
        conn.add_notice_handler(lambda notice: setattr(self, "noticed", True))
        if self.session:
            conn.execute(self.session)
        conn.autocommit = False
        self.conn = conn

    def recover(self) -> None:
        """Keep the connection if the server only refused, else drop it."""
        with contextlib.suppress(Exception):
            self.since = time.monotonic()
            if not self.conn.closed:
                self.conn.rollback()
                return
        with contextlib.suppress(Exception):
            self.conn.close()
        self.conn = None

    def lose_patience(self, limit: float) -> None:
        """Close the socket under a call that has waited too long; asking the server to cancel would make a success of it."""
        since, conn = self.since, self.conn
        if since is not None and conn is not None and time.monotonic() - since > limit:
            with contextlib.suppress(Exception), socket.socket(fileno=os.dup(conn.pgconn.socket)) as handle:
                handle.shutdown(socket.SHUT_RDWR)


def settings() -> dict[str, Any]:
    """What the playbook wrote beside the program: connection, nodes by name, pace."""
    return json.loads((units.FOLDER / "clients.json").read_text())


def conninfo(given: dict[str, Any], host: str | None = None) -> str:
    """The printed connection string; with `host` pinned to it, whatever it is."""
    words = [*given["connection"].split(), f"passfile={units.FOLDER / 'pgpass'}", "application_name=elephant-drill", "client_encoding=UTF8"]
    if host is not None:
        words = [word for word in words if not word.startswith(("host=", "target_session_attrs="))] + [f"host={host}"]
    return " ".join(words)


@contextlib.contextmanager
def connected(host: str | None = None) -> Iterator[Any]:
    """A connection for the drill's own questions."""
    import psycopg

    with psycopg.connect(conninfo(settings(), host), autocommit=True) as conn:
        yield conn


def measured(scale: int, seconds: int) -> dict[str, Any]:
    """Fill pgbench's tables and measure what the cluster bears; the clients will load it with half of that."""
    with connected() as conn:
        conn.execute("CREATE SCHEMA IF NOT EXISTS elephant_drill")
    most = load.measure(conninfo(settings()), scale, seconds)
    with connected() as conn:
        size = conn.execute(
            "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables WHERE schemaname = 'elephant_drill'"
        ).fetchone()[0]
    found = {"scale": scale, "bytes": int(size), "most": round(most, 1), "rate": round(most / 2, 1)}
    RATE.write_text(json.dumps(found))
    return found


def clients(folder: str) -> dict[str, Any]:
    """Make the tables, measure the clocks, start the writers. Prints the clients' time."""
    given, here = settings(), Path(folder)
    # Those of an interrupted drill still write, and into another cycle's record.
    units.stop(UNIT)
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    with connected() as conn:
        conn.execute("CREATE SCHEMA IF NOT EXISTS elephant_drill")
        conn.execute("DROP TABLE IF EXISTS elephant_drill.attempts, elephant_drill.bulk")
        conn.execute(TABLE)
        conn.execute("CREATE TABLE elephant_drill.bulk (number bigint, filler text)")
    clock = {name: offset(address) for name, address in given["nodes"].items()}
    (here / "clock.json").write_text(json.dumps(clock))
    units.start(UNIT, "record-clients", {"folder": folder})
    return {"at": time.time(), "clock": clock}


def offset(address: str) -> float:
    """Seconds that a node's clock is ahead of this one, from the quickest of five questions."""
    found = []
    with connected(address) as conn:
        for _ in range(5):
            before = time.time()
            theirs = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()[0]
            after = time.time()
            found.append((after - before, theirs - (before + after) / 2))
    return round(min(found)[1], 4)


def record(folder: str) -> None:
    """The unit's main: all clients until SIGTERM."""
    given, here = settings(), Path(folder)
    names = {address: name for name, address in given["nodes"].items()}
    period, session = given["period_ms"] / 1000, given.get("session", "")
    writers = [Writer(f"any-{number}", conninfo(given), names, here, period, session) for number in range(1, given["clients"] + 1)]
    writers += [Writer(f"node-{name}", conninfo(given, address), names, here, period, session) for name, address in given["nodes"].items()]
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    for writer in writers:
        writer.start()
    if given["bulk_rows"]:
        load.Bulk(conninfo(given), given["bulk_rows"]).start()
    rate = json.loads(RATE.read_text())["rate"] if RATE.exists() else 0
    transactions = load.Transactions(conninfo(given), rate) if rate else None
    if transactions:
        transactions.start()
    while not ended.wait(0.1):
        for writer in writers:
            writer.lose_patience(given["patience"])
    if transactions:
        transactions.end()
    for writer in writers:
        writer.stopping.set()
    # Whoever hangs is waited for as an application would be, then let go: its row stays unknown.
    deadline = time.monotonic() + 5
    for writer in writers:
        writer.join(max(0.1, deadline - time.monotonic()))
    for writer in (it for it in writers if it.is_alive()):
        writer.lose_patience(0)
        writer.join(2)


def attempts(folder: str) -> list[dict[str, Any]]:
    """What the clients with the whole connection string wrote so far, in order of their end."""
    rows = []
    for file in Path(folder).glob("writer-any-*.jsonl"):
        for line in file.read_text().splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return sorted(rows, key=lambda row: row["ended"])


def steady(folder: str, since: float, seconds: float = 2.0, deadline: float = 60.0) -> dict[str, Any]:
    """Wait until every client with the whole connection string has been acknowledged for so many seconds without a pause of one second."""
    begun, wanted = time.time(), settings()["clients"]
    while time.time() - begun < deadline:
        acks = [row for row in attempts(folder) if row["outcome"] == "ok" and row["ended"] > since]
        times = [row["ended"] for row in acks]
        clients_ = {row["client"] for row in acks if row["ended"] > time.time() - 1}
        begin = next((other for one, other in reversed(list(pairwise(times))) if other - one > 1), times[0] if times else 0)
        if len(clients_) == wanted and times[-1] - begin >= seconds:
            return {"at": time.time(), "steady": True, "server": acks[-1]["server"]}
        time.sleep(0.2)
    return {"at": time.time(), "steady": False, "server": None}


def settled(folder: str, injected: float, hold: float, leaves: str = "", deadline: float = 60.0) -> dict[str, Any]:
    """Wait `hold` seconds from the fault on, then until commits are acknowledged again, by another node than `leaves` if that is named."""
    time.sleep(max(0.0, injected + hold - time.time()))
    while time.time() < injected + deadline:
        acks = [row for row in attempts(folder) if row["outcome"] == "ok" and row["started"] > injected and row["server"] != leaves]
        if acks and acks[-1]["ended"] > time.time() - 1 and acks[-1]["ended"] - acks[0]["ended"] > 2:
            return {"at": time.time(), "settled": True, "server": acks[-1]["server"]}
        time.sleep(0.2)
    return {"at": time.time(), "settled": False, "server": None}


def end(folder: str) -> dict[str, Any]:
    """Stop the clients; what they wrote stays."""
    units.stop(UNIT)
    return {"attempts": len(attempts(folder))}


def rows(file: str) -> dict[str, Any]:
    """Read the table through the printed connection string, so from whoever leads."""
    with connected() as conn, Path(file).open("w") as out:
        found = conn.execute("SELECT client, sequence, count(*) FROM elephant_drill.attempts GROUP BY 1, 2").fetchall()
        for client, sequence, count in found:
            out.write(json.dumps({"client": client, "sequence": sequence, "count": count}) + "\n")
    return {"rows": len(found)}


def clean() -> None:
    """The tables are gone again."""
    units.stop(UNIT)
    with connected() as conn:
        conn.execute("DROP SCHEMA IF EXISTS elephant_drill CASCADE")


VERBS = {
    "measure": measured,
    "clients": clients,
    "record-clients": record,
    "steady": steady,
    "settled": settled,
    "end": end,
    "rows": rows,
    "clean": clean,
}
