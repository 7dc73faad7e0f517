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
    """`condition` is a name for machines, `about` what it is true of (units, a disk, a slot), the sentence is for people."""

    condition: str
    level: int
    sentence: str
    about: str = ""


# Every name that a problem may have; the textfile has a line for each.
CONDITIONS = (
    "answers", "archive", "backup", "certificates", "disk", "etcd", "etcd_alarms", "etcd_members", "firewall", "leader", "members",
    "paused", "pending_restart", "replication", "slots", "synchronous", "units", "verification", "writes",
)  # fmt: skip


def judge(seen: dict[str, Any], limits: dict[str, Any], now: float) -> list[Problem]:
    """Everything that is wrong with what `sight.look` has seen, the worst first."""
    found = [
        *(Problem("answers", CRITICAL, f"{what}: {why}", what) for what, why in seen["trouble"].items()),
        *_host(seen, limits),
        *_patroni(seen.get("patroni"), limits),
        *_server(seen.get("server"), seen.get("patroni"), limits),
        *_writes(seen.get("writes")),
        *_backups(seen.get("backup"), limits, now),
        *_verification(seen, limits, now),
        *_etcd(seen.get("etcd")),
    ]
    return sorted(found, key=lambda it: -it.level)


def _host(seen: dict[str, Any], limits: dict[str, Any]) -> Iterator[Problem]:
    for disk in seen["disks"]:
        percent = math.floor(disk["used"] * 100)
        if percent >= limits["disk_percent"]:
            # Half of the room between the limit and a full disk.
            level = CRITICAL if percent >= (limits["disk_percent"] + 100) / 2 else WARNING
            yield Problem("disk", level, f"{disk['path']} is {percent} % full", disk["path"])
    certificate = seen.get("certificate")
    if certificate and certificate["days"] < limits["certificate_days"]:
        level = CRITICAL if certificate["days"] < limits["certificate_days"] / 4 else WARNING
        said = f"the certificate {certificate['name']} ends in {certificate['days']} days: run ha.yml"
        yield Problem("certificates", level, said, certificate["name"])
    for what in ("failed", "stopped"):
        if names := ", ".join(seen["units"][what]):
            yield Problem("units", WARNING, f"{what}: {names}", f"{what} {names}")
    if not seen.get("firewall", True):
        yield Problem("firewall", CRITICAL, "the firewall's rules are not loaded: systemctl restart elephant-firewall")


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
    if leads:
        yield from _members({it["name"]: it["state"] for it in members}, own["name"], limits["members"])
    if own is None:
        yield Problem("replication", CRITICAL, "this node is not a member of the cluster")
    # Without an archive Patroni calls a standby running that follows nobody.
    elif not leads and own["state"] != "streaming":
        yield Problem("replication", CRITICAL, f"this node does not follow the leader: {own['state']}")
    if patroni["paused"]:
        yield Problem("paused", WARNING, "the cluster is paused: nothing fails over (patronictl resume)")
    if own is not None and own.get("pending_restart"):
        yield Problem("pending_restart", WARNING, "settings wait for a restart (playbooks/patroni/restart.yml)")


def _members(states: dict[str, str], own: str, expected: list[str]) -> Iterator[Problem]:
    """As the leader sees them: who is gone says nothing itself."""
    away = [f"{name} ({states.get(name, 'gone')})" for name in expected if name != own and states.get(name) != "streaming"]
    if away:
        yield Problem("members", WARNING, f"{len(away)} of {len(expected)} members do not follow: {', '.join(away)}", ", ".join(away))


def _server(server: dict[str, Any] | None, patroni: dict[str, Any] | None, limits: dict[str, Any]) -> Iterator[Problem]:
    if server is None:
        return
    if not server["recovery"] and server["archiving"]:
        if server["failing"]:
            yield Problem("archive", CRITICAL, f"the archive does not take {server['failed_wal']}: pgbackrest check (as postgres) says why")
        elif server["ready"] >= READY:
            yield Problem("archive", CRITICAL, f"{server['ready']} segments of WAL wait for the archive")
    for slot in server["slots"]:
        megabytes = slot["bytes"] / 2**20
        if slot["status"] == "lost":
            yield Problem("slots", CRITICAL, f"the slot {slot['name']} lost the WAL that it needs", slot["name"])
        elif megabytes >= limits["slot_wal_mb"] or slot["status"] == "unreserved":
            yield Problem("slots", WARNING, f"the slot {slot['name']} keeps {megabytes:.0f} MB of WAL", slot["name"])


def _writes(writes: dict[str, Any] | None) -> Iterator[Problem]:
    if writes and writes["confirmation"]:
        whom = ", ".join(writes["standbys"]) or "a standby that is not there"
        said = f"writes hang: {writes['confirmation']} wait for {whom} to confirm (docs/failover.md)"
        yield Problem("writes", CRITICAL, said, "confirmation")
    if writes and writes["disk"]:
        said = f"writes hang: {writes['disk']} wait for the disk of WAL, to which nothing is written"
        yield Problem("writes", CRITICAL, said, "disk")


def _backups(backup: dict[str, Any] | None, limits: dict[str, Any], now: float) -> Iterator[Problem]:
    repositories = backup["repositories"] if backup else []
    readable = [it for it in repositories if not it["error"]]
    for it in repositories:
        name = f"repository {it['key']}" if it["key"] else "the storage"
        if it["error"]:
            # One that can be read is enough to go back.
            level = WARNING if readable else CRITICAL
            yield Problem("backup", level, f"{name} cannot be read: {it['error']}", f"{name} unreadable")
        elif it["newest"] is None:
            yield Problem("backup", CRITICAL, f"there is no backup{f' in {name}' if len(repositories) > 1 else ''}", f"{name} empty")
        else:
            age = now - it["newest"]
            if it["damaged"]:
                said = f"backup {it['damaged']} of {name} has damaged pages: keep the older ones (docs/backup.md)"
                yield Problem("backup", CRITICAL, said, f"{name} damaged")
            if age > limits["backup_hours"] * 3600:
                level = CRITICAL if age > 2 * limits["backup_hours"] * 3600 else WARNING
                yield Problem("backup", level, f"the newest backup of {name} is {age / 3600:.0f} hours old", f"{name} old")
    if backup and not repositories:
        yield Problem("backup", CRITICAL, "there is no backup")


def _verification(seen: dict[str, Any], limits: dict[str, Any], now: float) -> Iterator[Problem]:
    rehearsal, server = seen.get("rehearsal"), seen.get("server")
    if rehearsal and not rehearsal["ok"]:
        yield Problem("verification", CRITICAL, f"the rehearsal of a restore failed: {rehearsal.get('reason', 'it was cut short')}")
    elif "backup" in seen and server and server["recovery"]:
        # It is the standby's turn; one that was the leader until now has not been due.
        since = max(rehearsal["at"] if rehearsal else 0, server["standby_since"])
        if now - since > limits["verification_days"] * 86400:
            yield Problem("verification", WARNING, f"no backup was rehearsed here for {(now - since) / 86400:.0f} days")


def _etcd(etcd: dict[str, Any] | None) -> Iterator[Problem]:
    if etcd is None:
        return
    if not etcd["healthy"]:
        yield Problem("etcd", CRITICAL, f"etcd is not healthy: {etcd['why']}")
    for alarm in etcd["alarms"]:
        yield Problem("etcd_alarms", CRITICAL, f"etcd has the alarm {alarm}", alarm)
    if silent := etcd["silent"]:
        majority, left = etcd["members"] // 2 + 1, etcd["members"] - len(silent)
        # The next one that is lost stops every failover.
        level = WARNING if left > majority else CRITICAL
        said = f"{len(silent)} of {etcd['members']} members of etcd do not answer: {', '.join(silent)}"
        yield Problem("etcd_members", level, said, ", ".join(silent))
