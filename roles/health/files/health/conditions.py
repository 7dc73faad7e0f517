"""What is wrong, judged from what was seen: no host is asked here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WARNING, CRITICAL = 1, 2
LEADERS = ("leader", "standby_leader", "primary", "master")
SYNCHRONOUS = ("sync_standby", "quorum_standby")
# Segments that wait for the archive before it is called behind: half a GiB.
READY = 32


@dataclass(frozen=True)
class Problem:
    """`condition` is a name for machines, the sentence is for people."""

    condition: str
    level: int
    sentence: str


# Every name that a problem may have; the textfile has a line for each.
CONDITIONS = (
    "answers", "archive", "backup", "certificates", "disk", "etcd", "etcd_alarms", "leader", "paused", "pending_restart", "replication",
    "slots", "synchronous", "units", "verification",
)  # fmt: skip


def judge(seen: dict[str, Any], limits: dict[str, Any], now: float) -> list[Problem]:
    """Everything that is wrong with what `sight.look` has seen, the worst first."""
    found = [
        *(Problem("answers", CRITICAL, f"{what}: {why}") for what, why in seen["trouble"].items()),
        *_host(seen, limits),
        *_patroni(seen.get("patroni"), limits),
        *_server(seen.get("server"), seen.get("patroni"), limits),
        *_backups(seen, limits, now),
        *_etcd(seen.get("etcd")),
    ]
    return sorted(found, key=lambda it: -it.level)


def _host(seen: dict[str, Any], limits: dict[str, Any]) -> Iterator[Problem]:
    for disk in seen["disks"]:
        percent = math.floor(disk["used"] * 100)
        if percent >= limits["disk_percent"]:
            # Half of the room between the limit and a full disk.
            level = CRITICAL if percent >= (limits["disk_percent"] + 100) / 2 else WARNING
            yield Problem("disk", level, f"{disk['path']} is {percent} % full")
    certificate = seen.get("certificate")
    if certificate and certificate["days"] < limits["certificate_days"]:
        level = CRITICAL if certificate["days"] < limits["certificate_days"] / 4 else WARNING
        yield Problem("certificates", level, f"the certificate {certificate['name']} ends in {certificate['days']} days: run ha.yml")
    if seen["units"]:
        yield Problem("units", WARNING, f"failed: {', '.join(seen['units'])}")


def _patroni(patroni: dict[str, Any] | None, limits: dict[str, Any]) -> Iterator[Problem]:
    if patroni is None:
        return
    members, own = patroni["members"], patroni["own"]
    if not any(it["role"] in LEADERS and it["state"] == "running" for it in members):
        yield Problem("leader", CRITICAL, "the cluster has no leader: nobody takes writes")
    leads = own is not None and own["role"] in LEADERS
    # Only the leader says it, so that one fact is one alarm.
    if leads and limits["synchronous"] and not any(it["role"] in SYNCHRONOUS for it in members):
        yield Problem("synchronous", CRITICAL, "no standby is synchronous: what is written now is on one disk only")
    if own is None:
        yield Problem("replication", CRITICAL, "this node is not a member of the cluster")
    elif not leads and own["state"] not in ("streaming", "running"):
        yield Problem("replication", CRITICAL, f"this node does not follow the leader: {own['state']}")
    if patroni["paused"]:
        yield Problem("paused", WARNING, "the cluster is paused: nothing fails over (patronictl resume)")
    if own is not None and own.get("pending_restart"):
        yield Problem("pending_restart", WARNING, "settings wait for a restart (playbooks/patroni/restart.yml)")


def _server(server: dict[str, Any] | None, patroni: dict[str, Any] | None, limits: dict[str, Any]) -> Iterator[Problem]:
    if server is None:
        return
    if not server["recovery"] and server["archiving"]:
        if server["failing"]:
            yield Problem("archive", CRITICAL, f"the archive does not take {server['failed_wal']}: pgbackrest check says why")
        elif server["ready"] >= READY:
            yield Problem("archive", CRITICAL, f"{server['ready']} segments of WAL wait for the archive")
    for slot in server["slots"]:
        megabytes = slot["bytes"] / 2**20
        if slot["status"] == "lost":
            yield Problem("slots", CRITICAL, f"the slot {slot['name']} lost the WAL that it needs")
        elif megabytes >= limits["slot_wal_mb"] or slot["status"] == "unreserved":
            yield Problem("slots", WARNING, f"the slot {slot['name']} keeps {megabytes:.0f} MB of WAL")


def _backups(seen: dict[str, Any], limits: dict[str, Any], now: float) -> Iterator[Problem]:
    if "backup" in seen:
        newest = seen["backup"]["newest"]
        if newest is None:
            yield Problem("backup", CRITICAL, "there is no backup")
        elif now - newest > limits["backup_hours"] * 3600:
            level = CRITICAL if now - newest > 2 * limits["backup_hours"] * 3600 else WARNING
            yield Problem("backup", level, f"the newest backup is {(now - newest) / 3600:.0f} hours old")
    rehearsal, server = seen.get("rehearsal"), seen.get("server")
    if rehearsal and not rehearsal["ok"]:
        yield Problem("verification", CRITICAL, f"the rehearsal of a restore failed: {rehearsal.get('reason', 'it was cut short')}")
    elif "backup" in seen and server and server["recovery"]:
        # It is the standby's turn; one that was the leader until now has not been due.
        since = max(rehearsal["at"] if rehearsal else 0, server["started"])
        if now - since > limits["verification_days"] * 86400:
            yield Problem("verification", WARNING, f"no backup was rehearsed here for {(now - since) / 86400:.0f} days")


def _etcd(etcd: dict[str, Any] | None) -> Iterator[Problem]:
    if etcd is None:
        return
    if not etcd["healthy"]:
        yield Problem("etcd", CRITICAL, f"etcd is not healthy: {etcd['why']}")
    for alarm in etcd["alarms"]:
        yield Problem("etcd_alarms", CRITICAL, f"etcd has the alarm {alarm}")
