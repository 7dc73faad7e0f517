#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Hands the lead of a healthy cluster to a synchronous standby and measures how long nobody could write."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_switchover
short_description: A planned change of the leader, judged before and measured during
version_added: 0.1.0
description:
  - Runs on the leader. Refuses with all reasons unless inventory, DCS and the members' own words agree on who leads, and the
    target is a synchronous standby that streams and is not far behind.
  - Makes a checkpoint, then hands over, while a small writer commits through a connection string for all members; waits until
    the old leader follows.
extends_documentation_fragment: [elephant.ha.patroni, elephant.ha.patroni.tls]
options:
  members:
    description: The cluster's members as the inventory has them, each with C(name) and C(address).
    type: list
    elements: dict
    required: true
  candidate:
    description: Who shall lead. Empty takes a synchronous standby.
    type: str
    default: ""
  lag_limit_mb:
    description: MiB of WAL that the target may have to replay yet; the cluster is without a leader while it does.
    type: int
    default: 64
  connection:
    description: libpq connection string of the writer, which needs no right but to connect.
    type: str
    required: true
  wait:
    description: Seconds until the old leader must follow the new one.
    type: int
    default: 300
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: Refuses what it would refuse, and changes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
"""

EXAMPLES = r"""
- name: Another member leads
  elephant.ha.patroni_switchover:
    members: [{name: db-1, address: 192.0.2.21}, {name: db-2, address: 192.0.2.22}]
    connection: host=192.0.2.21,192.0.2.22 dbname=postgres user=probe target_session_attrs=read-write
    url: https://192.0.2.21:8008
    ca_file: /etc/elephant/certificates/ca.crt
    certificate_file: /etc/elephant/certificates/patroni.crt
    key_file: /etc/elephant/certificates/patroni.key
"""

RETURN = r"""
old:
  description: Who led.
  returned: always
  type: str
new:
  description: Who leads.
  returned: always
  type: str
paused_seconds:
  description: The longest time between two acknowledged commits of the writer.
  returned: changed
  type: float
"""

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

try:
    import psycopg2
except ImportError:
    psycopg2 = None

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.patroni_rest import (
    LEADERS,
    REST_OPTIONS,
    SYNCHRONOUS,
    Https,
    Unreachable,
    members_own_words,
)

PRIMARIES = ("primary", "master")
# Seconds between the writer's commits, and how long it writes before and after.
PERIOD = 0.02
MARGIN = 1.0


def lead_problems(names: list[str], cluster: dict[str, Any], own: dict[str, dict[str, Any]]) -> list[str]:
    """Why it is not certain who leads.

    `names` is the inventory, `cluster` the DCS (GET /cluster), `own` what each member says of itself (GET /patroni)."""
    members = {it["name"]: it for it in cluster.get("members", [])}
    leaders = [it["name"] for it in members.values() if it.get("role") in LEADERS]
    problems = ["The cluster is paused: somebody works on it. When they are done: patronictl resume"] if cluster.get("pause") else []
    if sorted(members) != sorted(names):
        problems.append(f"etcd knows the members {', '.join(sorted(members)) or 'none'}, the inventory has {', '.join(sorted(names))}.")
    if len(leaders) != 1 or members[leaders[0]].get("state") != "running":
        return [*problems, "etcd knows no running leader."]
    silent = sorted(name for name in members if not own.get(name))
    if silent:
        problems.append(f"{', '.join(silent)} does not answer.")
    lead = sorted(name for name, it in own.items() if it.get("role") in PRIMARIES)
    if not silent and lead != leaders:
        problems.append(f"etcd says that {leaders[0]} leads, and of themselves {', '.join(lead) or 'nobody'} says so.")
    return problems


def target_problems(target: str, cluster: dict[str, Any], own: dict[str, dict[str, Any]], lag_limit: int) -> list[str]:
    """Why `target` is not fit to lead. `lag_limit` is in bytes of WAL to be replayed; the leader is known."""
    members = {it["name"]: it for it in cluster["members"]}
    leader = next(it["name"] for it in members.values() if it.get("role") in LEADERS)
    synchronous = sorted(it["name"] for it in members.values() if it.get("role") in SYNCHRONOUS)
    if not target:
        return ["There is no synchronous standby to hand over to; another member could lack rows."]
    if target not in members:
        return [f"{target} is no member of the cluster ({', '.join(sorted(members))})."]
    if target == leader:
        return [f"{target} leads already."]
    if target not in synchronous:
        return [f"{target} is no synchronous standby (those are: {', '.join(synchronous) or 'none'}); a switchover to it could lose rows."]
    found, its = members[target], own.get(target) or {}
    xlog = its.get("xlog") or {}
    behind = (own[leader].get("xlog") or {}).get("location", 0) - (xlog.get("replayed_location") or 0)
    reasons = [
        ((found.get("state") != "streaming"), f"{target} does not stream from the leader (its state is {found.get('state')})."),
        (
            found.get("timeline") != members[leader].get("timeline"),
            f"{target} is on timeline {found.get('timeline')}, the leader on {members[leader].get('timeline')}.",
        ),
        (bool(xlog.get("paused")), f"{target} has paused its replay; end that first: SELECT pg_wal_replay_resume()"),
        (
            behind > lag_limit,
            f"{target} has {behind / 2**20:.0f} MiB of WAL to replay, more than {lag_limit / 2**20:.0f}; the cluster would wait for it.",
        ),
        (bool((found.get("tags") or {}).get("nofailover")), f"{target} has the tag nofailover."),
    ]
    return [sentence for wrong, sentence in reasons if wrong]


def longest_gap(acknowledged: list[float]) -> float:
    """The longest time in seconds between two neighbours of these moments; 0 where there are not two."""
    return max((later - earlier for earlier, later in pairwise(acknowledged)), default=0.0)


class Writer(threading.Thread):
    """Commits a tiny message every PERIOD through the connection string, and keeps when each commit was acknowledged."""

    def __init__(self, connection: str) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.acknowledged: list[float] = []
        self.error = ""
        self.over = threading.Event()

    def run(self) -> None:
        """Until told that it is over; a lost connection is made again at once."""
        link = None
        while not self.over.wait(PERIOD):
            try:
                if link is None:
                    link = psycopg2.connect(self.connection)
                    link.autocommit = True
                del link.notices[:]
                with link.cursor() as cursor:
                    cursor.execute("SELECT pg_logical_emit_message(true, 'elephant', 'switchover')")
                # A commit whose wait for the standby was cancelled comes with a warning, and is not acknowledged.
                if not link.notices:
                    self.acknowledged.append(time.monotonic())
            except psycopg2.Error as error:
                self.error, link = str(error).strip(), None


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def follows(rest: Https, old: str, new: str) -> bool:
    """Whether `new` leads, `old` streams from it, and one is synchronous again."""
    members = {it["name"]: it for it in rest.ask("/cluster").get("members", [])}
    leads = (members.get(new) or {}).get("role") in LEADERS and members[new].get("state") == "running"
    streams = (members.get(old) or {}).get("state") == "streaming"
    return leads and streams and any(it.get("role") in SYNCHRONOUS for it in members.values())


def main() -> None:
    """Judge, checkpoint, hand over, measure."""
    module = AnsibleModule(
        argument_spec={
            "members": {"type": "list", "elements": "dict", "required": True},
            "candidate": {"type": "str", "default": ""},
            "lag_limit_mb": {"type": "int", "default": 64},
            "connection": {"type": "str", "required": True},
            **REST_OPTIONS,
            "wait": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if psycopg2 is None:
        module.fail_json(msg="The writer needs python3-psycopg2, with which Patroni itself speaks to PostgreSQL.")

    files = (asked["ca_file"], asked["certificate_file"], asked["key_file"])
    try:
        rest = Https(asked["url"], *files)
        cluster = rest.ask("/cluster")
        own = members_own_words(cluster, *files)
    except Unreachable as error:
        module.fail_json(msg=str(error))
    problems = lead_problems([it["name"] for it in asked["members"]], cluster, own)
    synchronous = sorted(it["name"] for it in cluster.get("members", []) if it.get("role") in SYNCHRONOUS)
    target = asked["candidate"] or next(iter(synchronous), "")
    problems += [] if problems else target_problems(target, cluster, own, asked["lag_limit_mb"] * 2**20)
    if problems:
        module.fail_json(msg="The lead was not handed over. " + " ".join(problems))
    old = next(it["name"] for it in cluster["members"] if it.get("role") in LEADERS)
    if module.check_mode:
        module.exit_json(changed=True, old=old, new=target)

    # What is on the disk already need not be written while nobody leads.
    checkpoint = ["runuser", "-u", "postgres", "--", "psql", "-XAtc", "CHECKPOINT", "postgres"]
    module.run_command(checkpoint, check_rc=True)
    writer = Writer(asked["connection"])
    writer.start()
    if not until(lambda: len(writer.acknowledged) * PERIOD >= MARGIN / 2, 30):
        module.fail_json(msg=f"The lead was not handed over. The writer that measures could not write through all members: {writer.error}")
    try:
        rest.timeout = asked["wait"]
        status, answer = rest.call("POST", "/switchover", {"leader": old, "candidate": target})
    except Unreachable as error:
        status, answer = 0, str(error)
    rest.timeout = 5
    came = until(lambda: follows(rest, old, target), asked["wait"] if status == 200 else 30)
    # It must be seen that writes go on again.
    seen = len(writer.acknowledged)
    until(lambda: len(writer.acknowledged) > seen + MARGIN / 2 / PERIOD, 30)
    writer.over.set()
    writer.join(10)
    result = {"old": old, "new": target, "paused_seconds": round(longest_gap(writer.acknowledged), 2)}
    if status != 200:
        module.fail_json(msg=f"Patroni did not hand over the lead (HTTP {status}): {answer}", **result)
    if not came:
        module.fail_json(
            msg=f"{target} leads, and {old} does not follow within {asked['wait']} s; see there: journalctl -u patroni", **result
        )
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
