"""The cluster as its members see it, asked on a database host; and who leads etcd, asked on one of etcd's."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import time
import urllib.request
from typing import Any

import units

SYNCHRONOUS = ("sync_standby", "quorum_standby")


def view(url: str) -> dict[str, Any]:
    """What this host's Patroni says of the cluster; nothing while it does not answer."""
    trusted = ssl.create_default_context(cafile="/etc/elephant/certificates/ca.crt")
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(f"{url}/cluster", context=trusted, timeout=3) as answer:
        return json.load(answer)
    return {}


def states(url: str) -> dict[str, tuple[str, str]]:
    """Role and state of each member."""
    return {it["name"]: (it["role"], it["state"]) for it in view(url).get("members", [])}


def leaders(url: str) -> dict[str, Any]:
    """Who leads, who stands by."""
    found = states(url)
    lead = [name for name, (role, state) in found.items() if role == "leader" and state == "running"]
    return {"leader": lead[0] if lead else None, "synchronous": [name for name, (role, _) in found.items() if role in SYNCHRONOUS]}


def whole(url: str, members: int, synchronous: int, deadline: float) -> dict[str, Any]:
    """Wait until everybody is there again: a leader, the others streaming, so many of them synchronous. Says when."""
    begun, found = time.time(), {}
    while time.time() - begun < deadline:
        found = states(url)
        roles = [role for role, state in found.values() if state in ("running", "streaming")]
        stand = sum(role in SYNCHRONOUS for role in roles)
        if len(roles) == members and roles.count("leader") == 1 and stand >= synchronous:
            return {"whole": time.time(), **leaders(url)}
        time.sleep(0.1)
    return {"whole": None, "members": found}


def fate(since: float, data: str) -> dict[str, Any]:
    """How this member came back, from what Patroni wrote: its data rewound, copied anew, or good as they were."""
    said = units.run("journalctl", "--unit=patroni.service", f"--since=@{since:.0f}", "--output=cat", "--no-pager")
    if "bootstrap from leader" in said or "replica has been created" in said:
        return {"fate": "rebuilt"}
    return {"fate": "rewound" if "running pg_rewind" in said or "pg_rewind exit code=0" in said else "rejoined"}


def hand_over(scope: str, leader: str, candidate: str) -> dict[str, Any]:
    """A planned switchover, as a person does it. A checkpoint first, so that the shutdown has little left to write."""
    units.run("runuser", "--user=postgres", "--", "psql", "--no-psqlrc", "--quiet", "--command=CHECKPOINT", "postgres")
    at = time.time()
    said = units.run("patronictl", "switchover", scope, "--leader", leader, "--candidate", candidate, "--force", check=False)
    return {"at": at, "switched": "Successfully switched over" in said, "said": said[-500:]}


def standbys(url: str, count: int, deadline: float) -> dict[str, Any]:
    """Wait until the leader counts on so many synchronous standbys and no more: also on none."""
    begun = time.time()
    while time.time() - begun < deadline:
        found = leaders(url)
        if found["leader"] and len(found["synchronous"]) == count:
            return {"there": True, "at": time.time()}
        time.sleep(0.2)
    return {"there": False, "at": time.time()}


def stays_down(url: str, name: str, seconds: float) -> dict[str, Any]:
    """Watch that a member does not make itself the leader for so long."""
    until = time.time() + seconds
    while time.time() < until:
        if states(url).get(name, ("", ""))[0] == "leader":
            return {"promoted": True, "at": time.time()}
        time.sleep(0.2)
    return {"promoted": False, "at": time.time()}


def etcdctl(*words: str, members: dict[str, str]) -> str:
    """What etcdctl prints as root, asking all members (addresses by name)."""
    env = units.etcdctl_environment(",".join(f"https://{address}:2379" for address in members.values()))
    return subprocess.run(["etcdctl", *words], env=env, capture_output=True, text=True, check=True).stdout


def etcd_leader(members: dict[str, str], away_from: str = "") -> dict[str, Any]:
    """Who leads etcd; made to be another one than `away_from`, whose host has to stay, where there is another one."""
    status = json.loads(etcdctl("endpoint", "status", "--write-out=json", members=members))
    names = {f"https://{address}:2379": name for name, address in members.items()}
    ids = {one["Status"]["header"]["member_id"]: names[one["Endpoint"]] for one in status}
    leader = ids[status[0]["Status"]["leader"]]
    others = [number for number, name in ids.items() if name != away_from]
    if leader == away_from and others:
        etcdctl("move-leader", f"{others[0]:x}", members=members)
        return {"leader": ids[others[0]]}
    return {"leader": leader}


VERBS = {
    "leaders": leaders,
    "whole": whole,
    "stays-down": stays_down,
    "fate": fate,
    "hand-over": hand_over,
    "standbys": standbys,
    "etcd-leader": etcd_leader,
}
