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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/elephant-health")
# pgBackRest asks a storage that is away several times; with its own minute for each nothing here would hear of it.
PATIENCE = "--io-timeout=5"
REHEARSAL = Path("/var/lib/pgbackrest/elephant-rehearsal.json")
# Asking the object storage costs money and time: so often is enough, in seconds.
BACKUPS_EVERY = 1800
WATCHED = ("elephant-*", "patroni.service", "etcd.service", "pgbackrest*")
QUESTION = """
SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'recovery', pg_is_in_recovery(),
  'archiving', current_setting('archive_mode') <> 'off' AND current_setting('archive_command') NOT IN ('', '/bin/true', '(disabled)'),
  'failing', coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),
  'failed_wal', last_failed_wal,
  'ready', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'status', wal_status, 'bytes', coalesce(pg_wal_lsn_diff(
     CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0))), '[]')
     FROM pg_replication_slots)) FROM pg_stat_archiver
"""
# Statements that are older than any failover without a person lets them be, and wait for a standby's word or the disk of WAL.
WAITING = """
SELECT json_build_object(
  'sessions', (SELECT coalesce(json_agg(json_build_array(pid || ' ' || query_start, lower(wait_event) = 'syncrep')), '[]')
     FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'
       AND lower(wait_event) IN ('syncrep', 'walsync', 'walwrite') AND query_start < clock_timestamp() - interval '10 s'),
  'flushed', CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_current_wal_flush_lsn()::text END,
  'standbys', (SELECT coalesce(json_agg(DISTINCT application_name), '[]') FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')))
"""
# Looks at them, a second apart: one long statement is no standstill.
LOOKS = 3


def look(settings: dict[str, Any]) -> dict[str, Any]:
    """All that can be seen here. What does not answer stands in `trouble`, with why, and nowhere else."""
    seen: dict[str, Any] = {"name": settings["name"], "at": time.time(), "trouble": {}, "disks": [], "units": {"failed": [], "stopped": []}}
    asked: dict[str, Callable[[], Any]] = {
        "disks": lambda: disks(settings["disks"]),
        "units": lambda: units(settings["timers"]),
        "certificate": lambda: certificate(Path(settings["certificates"])),
    }
    if settings["firewall"]:
        asked["firewall"] = firewall
    if settings["patroni"]:
        asked |= {"patroni": lambda: patroni(settings), "server": server, "writes": writes}
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


def units(timers: list[str]) -> dict[str, list[str]]:
    """What failed of ours, but not what says so, and which of the timers are not active: a stopped one has not failed."""
    rows = run("systemctl", "list-units", "--failed", "--plain", "--no-legend", *WATCHED).splitlines()
    failed = sorted(name for name in (row.split()[0] for row in rows if row.split()) if not name.startswith("elephant-health"))
    shown = run("systemctl", "show", "--property=ActiveState", "--value", *timers).split() if timers else []
    return {"failed": failed, "stopped": [name for name, state in zip(timers, shown, strict=True) if state == "inactive"]}


def firewall() -> bool:
    """Whether the kernel has the rules."""
    return "table inet elephant" in run("nft", "list", "tables")


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
    seen = query(QUESTION)
    return seen | {"standby_since": standby_since(seen["recovery"])}


def query(sql: str) -> dict[str, Any]:
    """The JSON that the local PostgreSQL answers."""
    return json.loads(run("psql", "--no-psqlrc", "-qAtd", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql, user="postgres"))


def standby_since(recovery: bool) -> float | None:
    """When it was seen as a standby first since it led; a restart begins nothing anew. None for a leader."""
    mark = STATE / "standby"
    if not recovery:
        mark.unlink(missing_ok=True)
        return None
    if not mark.exists():
        STATE.mkdir(exist_ok=True)
        mark.touch()
    return mark.stat().st_mtime


def writes() -> dict[str, Any]:
    """How many statements stand still at every look: for a standby's confirmation, and for the disk while no WAL gets to it."""
    looks = [query(WAITING)]
    while len(looks) < LOOKS and looks[-1]["sessions"]:
        time.sleep(1)
        looks.append(query(WAITING))
    still = set.intersection(*({(key, for_standby) for key, for_standby in it["sessions"]} for it in looks))
    flows = len({it["flushed"] for it in looks}) > 1
    confirmation = sum(for_standby for _, for_standby in still)
    return {"confirmation": confirmation, "disk": 0 if flows else len(still) - confirmation, "standbys": looks[-1]["standbys"]}


def backup(stanza: str) -> dict[str, Any]:
    """By repository, when its newest good backup ended, the newest one if it is damaged, and why it cannot be read.

    Remembered for a while if nothing is wrong.
    """
    kept = STATE / "backups.json"
    if kept.exists() and time.time() - kept.stat().st_mtime < BACKUPS_EVERY:
        return json.loads(kept.read_text())
    try:
        said = run("pgbackrest", f"--stanza={stanza}", PATIENCE, "--output=json", "info", user="postgres")
    except subprocess.TimeoutExpired as silent:
        return {"repositories": [{"key": "", "newest": None, "damaged": "", "error": f"no answer within {silent.timeout:.0f} s"}]}
    # A wrong passphrase makes noise of a file, and pgBackRest quotes it.
    found = {"repositories": [repository(one, it) for one in json.loads(said, strict=False) for it in one.get("repo", [])]}
    if found["repositories"] and all(it["newest"] and not it["damaged"] and not it["error"] for it in found["repositories"]):
        STATE.mkdir(exist_ok=True)
        kept.write_text(json.dumps(found))
    return found


def repository(stanza: dict[str, Any], repo: dict[str, Any]) -> dict[str, Any]:
    """One of them, from pgBackRest's answer; status 99 is whatever kept it from reading."""
    backups = [it for it in stanza.get("backup", []) if it["database"]["repo-key"] == repo["key"]]
    backups.sort(key=lambda it: it["timestamp"]["stop"])
    status, newest = repo["status"], next((it["timestamp"]["stop"] for it in reversed(backups) if not it.get("error")), None)
    error = "".join(it if it.isprintable() else " " for it in " ".join(status["message"].split()))[:300] if status["code"] == 99 else ""
    damaged = backups[-1]["label"] if backups and backups[-1].get("error") else ""
    return {"key": repo["key"], "newest": newest, "damaged": damaged, "error": error}


def rehearsal() -> dict[str, Any] | None:
    """How the last rehearsal of a restore here ended."""
    return json.loads(REHEARSAL.read_text()) if REHEARSAL.exists() else None


def etcd(settings: dict[str, Any]) -> dict[str, Any]:
    """This member, and the alarms of the whole cluster."""
    folder = Path(settings["certificates"])
    call = ["etcdctl", f"--endpoints={settings['etcd']}", f"--cacert={folder / 'ca.crt'}", f"--cert={folder / 'etcd-root.crt'}"]
    call += [f"--key={folder / 'etcd-root.key'}", "--command-timeout=5s"]
    status = json.loads(run(*call, "--write-out=json", "endpoint", "status"))[0]["Status"]
    # Go leaves out what is zero.
    leader = status.get("leader", 0)
    seen = {
        "leader": status["header"]["member_id"] == leader,
        "version": status["version"],
        "healthy": True,
        "why": "",
        "alarms": [],
        "members": 0,
        "silent": [],
    }
    if not leader:
        return seen | {"healthy": False, "why": "it knows no leader: an election, or too few of its members answer each other"}
    try:
        # First, for an alarm makes the member unhealthy, and that alone says less.
        rows = run(*call, "alarm", "list").splitlines()
        seen["alarms"] = sorted({row.rpartition("alarm:")[2].strip() for row in rows if "alarm:" in row})
        if seen["leader"]:
            # Only the leader, so that one fact is one alarm.
            seen |= members(call)
        run(*call, "endpoint", "health")
    except subprocess.CalledProcessError as failed:
        seen |= {"healthy": False, "why": ((failed.stderr or failed.stdout).strip().splitlines() or ["no answer"])[-1]}
    return seen


def members(call: list[str]) -> dict[str, Any]:
    """How many members etcd has, and which do not answer for themselves."""
    listed = json.loads(run(*call, "--write-out=json", "member", "list"))["members"]
    addresses = {url: it.get("name", "") for it in listed for url in it.get("clientURLs", [])}
    # Not whether they are healthy: one alarm makes all of them unhealthy.
    with ThreadPoolExecutor() as pool:
        answers = dict(zip(addresses, pool.map(lambda url: answers_alone(call, url), addresses), strict=True))
    heard = {name for url, name in addresses.items() if answers[url]}
    return {"members": len(listed), "silent": sorted({it.get("name") or f"{it['ID']:x}, not started" for it in listed} - heard)}


def answers_alone(call: list[str], url: str) -> bool:
    """Whether the member says how it is, within seconds."""
    others = [it for it in call if not it.startswith(("--endpoints=", "--command-timeout="))]
    try:
        run(*others, f"--endpoints={url}", "--command-timeout=3s", "endpoint", "status")
    except subprocess.CalledProcessError:
        return False
    return True
