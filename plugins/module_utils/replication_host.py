# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""A member of a plain replication as its own host sees it: Debian's cluster, its data directory, its server, and its peers over TLS."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

Asked = dict[str, Any]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# What a server that cannot follow says in its log, and what it means. Only the newest words count.
LOST = (
    (
        re.compile(r"requested WAL segment \w+ has already been removed|can no longer (?:get changes from|access) replication slot"),
        "WAL that it needs is gone",
    ),
    (
        re.compile(r"requested timeline \d+ is not a child|forked off current database system timeline"),
        "it wrote WAL that the primary never had",
    ),
    (
        re.compile(r"requested starting point \S+ on timeline \d+ is not in this server's history"),
        "it wrote WAL that the primary never had",
    ),
    (re.compile(r"requested starting point \S+ is ahead of the WAL flush position"), "it has more WAL than the member that it follows"),
    (re.compile(r"database system identifier differs"), "it is a copy of another database"),
)
STATE = """
SELECT json_build_object(
  'recovery', pg_is_in_recovery(),
  'timeline', CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver)
              ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'received', (CASE WHEN pg_is_in_recovery() THEN greatest(coalesce(pg_last_wal_receive_lsn(), '0/0'), pg_last_wal_replay_lsn())
               ELSE pg_current_wal_lsn() END - '0/0')::bigint,
  'replayed', (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint,
  'delayed', EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryApplyDelay'),
  'receiver', (SELECT json_build_object('status', status, 'sender', sender_host, 'slot', slot_name) FROM pg_stat_wal_receiver),
  'replicas', (SELECT coalesce(json_agg(json_build_object('name', application_name, 'state', state, 'sync', sync_state)), '[]')
               FROM pg_stat_replication),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'active', active, 'wal_status', wal_status)), '[]')
            FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary),
  'pending', (SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE pending_restart),
  'refused_settings', (SELECT coalesce(json_agg(DISTINCT name || ': ' || error), '[]') FROM pg_file_settings
                       WHERE error IS NOT NULL AND error !~ 'could not be applied|restart'))
"""
SILENT: Asked = {
    "recovery": False,
    "timeline": 0,
    "received": 0,
    "replayed": 0,
    "delayed": False,
    "receiver": None,
    "replicas": [],
    "slots": [],
    "pending": [],
    "refused_settings": [],
}


class Failed(Exception):
    """A program's own words about why it failed."""


def run(*command: str, ok: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program in C's language. Raises Failed with its words when it fails and `ok`."""
    environment = {"LC_ALL": "C", "PATH": PATH, "PGOPTIONS": "-c synchronous_commit=local"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=stdin, env=environment, cwd="/")
    except OSError as error:
        done = subprocess.CompletedProcess(command, 127, "", str(error))
    if ok and done.returncode != 0:
        raise Failed((done.stderr or done.stdout).strip() or f"{command[0]} failed without a word")
    return done


def as_postgres(*command: str, ok: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program as the server's user."""
    return run("runuser", "--user", "postgres", "--", *command, ok=ok, stdin=stdin)


def sql(query: str, ok: bool = True) -> str:
    """The answer of the local server, through its socket; empty when it does not answer and not `ok`. The query goes by standard input."""
    words = ("psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1", "--port=5432", "--dbname=postgres")
    done = as_postgres(*words, ok=ok, stdin=query)
    return done.stdout.strip() if done.returncode == 0 else ""


def connection(**settings: str) -> str:
    """A connection string of libpq; empty values are left out, the others quoted."""
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in settings.items() if value}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())


def binary(asked: Asked, name: str) -> str:
    """A program of this major version of PostgreSQL."""
    return f"/usr/lib/postgresql/{asked['version']}/bin/{name}"


def configuration(asked: Asked) -> Path:
    """The folder of Debian's cluster."""
    return Path("/etc/postgresql") / asked["version"] / "main"


def unit(asked: Asked) -> str:
    """The unit of Debian's cluster."""
    return f"postgresql@{asked['version']}-main.service"


def peer(address: str, asked: Asked) -> dict[str, Any]:
    """What another member answers over the replication protocol, with the certificate (or password) that replication uses."""
    words = ("psql", "--no-psqlrc", "--no-align", "--tuples-only", "--field-separator=|", "-d")
    said = as_postgres(
        *words,
        f"{asked['connection']} host={address} connect_timeout=3 replication=true",
        "-c",
        "IDENTIFY_SYSTEM",
        "-c",
        "SHOW in_hot_standby",
        ok=False,
    )
    rows = said.stdout.split("\n")
    if said.returncode != 0 or len(rows) < 2 or rows[0].count("|") != 3:
        return {"answers": False, "why": said.stderr.strip().split("\n")[-1]}
    system, timeline, position, _ = rows[0].split("|")
    return {"answers": True, "system": system, "timeline": int(timeline), "position": position, "recovery": rows[1] == "on"}


def control(asked: Asked) -> dict[str, str]:
    """What pg_controldata says, by label."""
    said = run(binary(asked, "pg_controldata"), asked["data_directory"], ok=False).stdout
    return {row.split(":", 1)[0]: row.split(":", 1)[1].strip() for row in said.splitlines() if ":" in row}


def data(asked: Asked) -> dict[str, Any]:
    """What lies in the data directory."""
    place = Path(asked["data_directory"])
    entries = [it.name for it in place.iterdir()] if place.is_dir() else []
    found = {"data": "empty" if place.is_dir() else "absent", "data_version": "", "system": "", "timeline": 0, "state": "", "signal": False}
    if not entries:
        return found
    if not (place / "PG_VERSION").is_file() or not (place / "global/pg_control").is_file():
        return found | {"data": "foreign"}
    said = control(asked)
    return found | {
        "data": "cluster",
        "data_version": (place / "PG_VERSION").read_text().strip(),
        "system": said.get("Database system identifier", ""),
        "timeline": int(said.get("Latest checkpoint's TimeLineID", "0")),
        "state": said.get("Database cluster state", ""),
        "signal": (place / "standby.signal").exists(),
    }


def patroni(asked: Asked) -> str:
    """By what one sees that Patroni manages this host; empty when it does not."""
    trace = Path(asked["data_directory"]) / "patroni.dynamic.json"
    if trace.exists():
        return f"{trace} is there"
    state = run("systemctl", "is-active", "patroni.service", ok=False).stdout.strip()
    if state in ("active", "activating", "reloading"):
        return "patroni.service runs"
    return "/etc/elephant/patroni is there" if Path("/etc/elephant/patroni/patroni.yml").exists() else ""


def configured_data(asked: Asked) -> str:
    """The data directory that Debian's cluster names; empty when there is no such cluster."""
    file = configuration(asked) / "postgresql.conf"
    if not file.is_file():
        return ""
    match = re.search(r"^\s*data_directory\s*=\s*'([^']*)'", file.read_text(), flags=re.MULTILINE)
    return match[1] if match else ""


def log_tail(lines: int = 40) -> list[str]:
    """The newest lines of the log that the server says it writes."""
    name = sql("SELECT pg_current_logfile()", ok=False).strip()
    return Path(name).read_text(errors="replace").splitlines()[-lines:] if name and Path(name).is_file() else []


def lost(found: dict[str, Any]) -> str:
    """Why a running standby that does not stream will never do so; empty when it may."""
    if not (found["answers"] and found["recovery"]) or streaming(found) or found["delayed"]:
        return ""
    for line in reversed(log_tail()):
        if "started streaming" in line or "starting PostgreSQL" in line:
            return ""
        for pattern, meaning in LOST:
            if pattern.search(line):
                return meaning
    return ""


def streaming(found: dict[str, Any], upstream: str = "") -> bool:
    """Whether WAL arrives now, from this address if one is given."""
    receiver = found["receiver"] or {}
    return receiver.get("status") == "streaming" and upstream in ("", receiver.get("sender"))


def server(asked: Asked) -> dict[str, Any]:
    """What the local server says of itself; `answers` is false when it says nothing."""
    said = sql(STATE, ok=False) if Path("/run/postgresql/.s.PGSQL.5432").exists() else ""
    return {"answers": bool(said), **(json.loads(said) if said else SILENT)}


def look(asked: Asked) -> dict[str, Any]:
    """All of it."""
    shown = run("systemctl", "show", unit(asked), "--property=LoadState,ActiveState,NeedDaemonReload").stdout.splitlines()
    stored = data(asked)
    live = server(asked)
    live["timeline"] = live["timeline"] or stored["timeline"]
    found = {
        **stored,
        **live,
        "name": asked["name"],
        "data_directory": asked["data_directory"],
        "patroni": patroni(asked),
        "ours": (configuration(asked) / "conf.d/elephant.conf").exists(),
        "configured_data": configured_data(asked),
        "unit": dict(row.split("=", 1) for row in shown if "=" in row),
        "others": {it["name"]: peer(it["address"], asked) for it in asked["members"] if it["name"] != asked["name"] and can_ask(asked)},
    }
    found["lost"] = lost(found)
    return found


def can_ask(asked: Asked) -> bool:
    """Whether there is a client, and what it shows to its peers."""
    needed = re.findall(r"(?:sslkey|passfile)='([^']+)'", asked["connection"])
    return Path("/usr/bin/psql").exists() and all(Path(it).exists() for it in needed)
