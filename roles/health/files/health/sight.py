"""What one host can say of itself: asks the programs that run there and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/elephant-health")
REHEARSAL = Path("/var/lib/pgbackrest/elephant-rehearsal.json")
# Asking the object storage costs money and time: so often is enough, in seconds.
BACKUPS_EVERY = 1800
WATCHED = ("elephant-*", "patroni.service", "etcd.service", "pgbackrest*")
QUESTION = """
SELECT json_build_object(
  'recovery', pg_is_in_recovery(),
  'archiving', current_setting('archive_mode') <> 'off' AND current_setting('archive_command') NOT IN ('', '/bin/true', '(disabled)'),
  'failing', coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),
  'failed_wal', last_failed_wal,
  'ready', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
  'started', extract(epoch FROM pg_postmaster_start_time()),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'status', wal_status, 'bytes', coalesce(pg_wal_lsn_diff(
     CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0))), '[]')
     FROM pg_replication_slots)) FROM pg_stat_archiver
"""


def look(settings: dict[str, Any]) -> dict[str, Any]:
    """All that can be seen here. What does not answer stands in `trouble`, with why, and nowhere else."""
    seen: dict[str, Any] = {"name": settings["name"], "at": time.time(), "trouble": {}, "disks": [], "units": []}
    asked: dict[str, Callable[[], Any]] = {
        "disks": lambda: disks(settings["disks"]),
        "units": units,
        "certificate": lambda: certificate(Path(settings["certificates"])),
    }
    if settings["patroni"]:
        asked |= {"patroni": lambda: patroni(settings), "server": server}
        if settings["stanza"]:
            asked |= {"backup": lambda: backup(settings["stanza"]), "rehearsal": rehearsal}
    if settings["etcd"]:
        asked["etcd"] = lambda: etcd(settings)
    for what, ask in asked.items():
        try:
            seen[what] = ask()
        except subprocess.CalledProcessError as failed:
            said = (failed.stderr or failed.stdout or "").strip().splitlines()
            seen["trouble"][what] = said[-1] if said else f"exit code {failed.returncode}"
        except KeyError as failed:
            seen["trouble"][what] = f"the answer lacks {failed}"
        except OSError as failed:
            missing = f" ({failed.filename})" if failed.filename else ""
            seen["trouble"][what] = f"{failed.strerror or failed}{missing}"
        except (ValueError, subprocess.TimeoutExpired) as failed:
            seen["trouble"][what] = str(failed) or type(failed).__name__
    return seen


def run(*words: str | Path, user: str = "") -> str:
    """What a program prints; run as root, or by root as another user."""
    env = os.environ | {"LC_ALL": "C.UTF-8"}
    # Not by runuser, which would write two lines into the journal each time.
    other: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30, cwd="/", env=env, **other).stdout
    except KeyError as unknown:
        raise OSError(f"there is no user {user}") from unknown


def disks(paths: list[str]) -> list[dict[str, Any]]:
    """Each file system once, under the first of its paths, with the share that is used of what its users may use."""
    found: dict[int, dict[str, Any]] = {}
    for path in paths:
        if Path(path).exists():
            room = shutil.disk_usage(path)
            found.setdefault(Path(path).stat().st_dev, {"path": path, "used": room.used / max(1, room.used + room.free), "free": room.free})
    return list(found.values())


def units() -> list[str]:
    """What failed of ours, but not what says so."""
    rows = run("systemctl", "list-units", "--failed", "--plain", "--no-legend", *WATCHED).splitlines()
    return sorted(name for name in (row.split()[0] for row in rows if row.split()) if not name.startswith("elephant-health"))


def certificate(folder: Path) -> dict[str, Any] | None:
    """The one that ends first."""
    ends = []
    for file in folder.glob("*.crt"):
        shown = run("openssl", "x509", "-noout", "-enddate", "-in", file).strip().removeprefix("notAfter=")
        ends.append((ssl.cert_time_to_seconds(shown), file.stem))
    return {"days": int((min(ends)[0] - time.time()) // 86400), "name": min(ends)[1]} if ends else None


def patroni(settings: dict[str, Any]) -> dict[str, Any]:
    """The cluster as this member's Patroni sees it."""
    trusted = ssl.create_default_context(cafile=str(Path(settings["certificates"]) / "ca.crt"))
    # A proxy of the environment must not stand between a host and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted))
    with opener.open(f"{settings['patroni']}/cluster", timeout=5) as answer:
        cluster = json.load(answer)
    keys = ("name", "role", "state", "timeline", "lag", "pending_restart")
    members = [{key: it.get(key) for key in keys} for it in cluster["members"]]
    own = next((it for it in members if it["name"] == settings["name"]), None)
    return {"members": members, "own": own, "paused": bool(cluster.get("pause"))}


def server() -> dict[str, Any]:
    """The local PostgreSQL through its socket."""
    return json.loads(run("psql", "--no-psqlrc", "-qAtd", "postgres", "-v", "ON_ERROR_STOP=1", "-c", QUESTION, user="postgres"))


def backup(stanza: str) -> dict[str, Any]:
    """When the newest complete backup ended; remembered for a while."""
    kept = STATE / "backup.json"
    if kept.exists() and time.time() - kept.stat().st_mtime < BACKUPS_EVERY:
        remembered = json.loads(kept.read_text())
        if remembered.get("newest") is not None:
            return remembered
    info = json.loads(run("pgbackrest", f"--stanza={stanza}", "--output=json", "info", user="postgres"))
    ends = [it["timestamp"]["stop"] for one in info for it in one.get("backup", []) if not it.get("error")]
    found = {"newest": max(ends, default=None)}
    STATE.mkdir(exist_ok=True)
    kept.write_text(json.dumps(found))
    return found


def rehearsal() -> dict[str, Any] | None:
    """How the last rehearsal of a restore here ended."""
    return json.loads(REHEARSAL.read_text()) if REHEARSAL.exists() else None


def etcd(settings: dict[str, Any]) -> dict[str, Any]:
    """This member, and the alarms of the whole cluster."""
    folder = Path(settings["certificates"])
    call = ["etcdctl", f"--endpoints={settings['etcd']}", f"--cacert={folder / 'ca.crt'}", f"--cert={folder / 'etcd-root.crt'}"]
    call += [f"--key={folder / 'etcd-root.key'}", "--command-timeout=5s"]
    status = json.loads(run(*call, "--write-out=json", "endpoint", "status"))[0]["Status"]
    seen = {
        "leader": status["header"]["member_id"] == status["leader"],
        "version": status["version"],
        "healthy": True,
        "why": "",
        "alarms": [],
    }
    try:
        # First, for an alarm makes the member unhealthy, and that alone says less.
        rows = run(*call, "alarm", "list").splitlines()
        seen["alarms"] = sorted({row.rpartition("alarm:")[2].strip() for row in rows if "alarm:" in row})
        run(*call, "endpoint", "health")
    except subprocess.CalledProcessError as failed:
        seen |= {"healthy": False, "why": ((failed.stderr or failed.stdout).strip().splitlines() or ["no answer"])[-1]}
    return seen
