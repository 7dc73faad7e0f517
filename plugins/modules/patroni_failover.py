#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Says what promoting a standby may cost, and promotes it when that was accepted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_failover
short_description: Promote a standby of a cluster that has lost its leader
version_added: 0.1.0
description:
  - Runs on the standby. Refuses while anybody leads, and where the standby's PostgreSQL does not answer.
  - States the newest commit that the standby has, against the last position that etcd heard of and the end of the archive.
  - Promotes only if O(accept) names the standby.
extends_documentation_fragment: [elephant.ha.patroni, elephant.ha.patroni.tls, elephant.ha.patroni.store]
options:
  name:
    description: Name of the standby.
    type: str
    required: true
  scope:
    description: Name of the cluster.
    type: str
    required: true
  accept:
    description: Name of the standby again, by whoever has read the statement.
    type: str
    default: ""
  stanza:
    description: Stanza of pgBackRest that WAL is archived to. Empty where there are no backups.
    type: str
    default: ""
  connection:
    description: libpq connection string to whichever member takes writes; its user needs no right but to connect. Empty does not ask.
    type: str
    default: ""
  wait:
    description: Seconds until the standby must lead.
    type: int
    default: 60
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: States and refuses, and changes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
"""

EXAMPLES = r"""
- name: What it would cost is known
  elephant.ha.patroni_failover:
    name: db-2
    scope: elephant
    etcd_urls: [https://192.0.2.11:2379]
    etcd_password: "{{ vaulted_etcd_password }}"
    url: https://192.0.2.22:8008
    ca_file: /etc/elephant/certificates/ca.crt
    certificate_file: /etc/elephant/certificates/patroni.crt
    key_file: /etc/elephant/certificates/patroni.key
"""

RETURN = r"""
statement:
  description: What is known of what would be lost, a sentence an item.
  returned: always
  type: list
  elements: str
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

try:
    import psycopg2
except ImportError:
    psycopg2 = None

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.patroni_rest import (
    ETCD_OPTIONS,
    LEADERS,
    REST_OPTIONS,
    Https,
    Unreachable,
    etcd_read,
    members_own_words,
)

PRIMARIES = ("primary", "master")
# Seconds for the archive to answer in: pgBackRest's own patience with a storage that is away are minutes, in which nobody can write.
PATIENCE = 20
# What timeout(1) answers, and the status that pgBackRest's info gives a repository that it cannot read.
TIMED_OUT, UNREADABLE = 124, 99
QUESTION = (
    "SELECT json_build_object('recovery', pg_is_in_recovery(), 'commit', pg_last_xact_replay_timestamp(),"
    " 'replayed', pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint,"
    " 'received', pg_wal_lsn_diff(coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::bigint,"
    " 'timeline', (pg_control_checkpoint()).timeline_id, 'segment', pg_size_bytes(current_setting('wal_segment_size')))"
)


@dataclass(frozen=True)
class Standby:
    """What a standby has: positions in bytes of WAL, `commit` as PostgreSQL writes a time (None where it replayed none), sizes in bytes."""

    name: str
    commit: str | None
    timeline: int
    position: int
    segment: int


@dataclass(frozen=True)
class Archive:
    """Where the archive ends: `newest` is the last segment's name ("" where it is empty), `why` says what of it is not known."""

    newest: str = ""
    why: str = ""


def standby_of(name: str, has: dict[str, Any], cluster: dict[str, Any]) -> Standby:
    """The candidate, from what its PostgreSQL answers and what its Patroni knows (GET /cluster).

    The control file's timeline is that of the last restartpoint, minutes behind one that the standby has followed since."""
    member = next((it for it in cluster.get("members", []) if it["name"] == name), {})
    timeline = max(has["timeline"], member.get("timeline") or 0)
    return Standby(name, has["commit"], timeline, max(has["replayed"] or 0, has["received"] or 0), has["segment"])


def lsn(position: int) -> str:
    """A position as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def segment_end(name: str, size: int) -> tuple[int, int]:
    """Timeline and the position after the end of a segment, from its name: timeline, number by 4 GiB, number within it, in hexadecimal."""
    timeline, high, low = (int(name[at : at + 8], 16) for at in (0, 8, 16))
    return timeline, (high << 32) + (low + 1) * size


def amount(size: int) -> str:
    """Bytes for a person."""
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB" if size >= 2**10 else f"{size} bytes"


def of_archive(standby: Standby, archive: Archive | None) -> str:
    """The end of the archive against what the standby has; None is a cluster without backups."""
    if archive is None:
        return "There are no backups, so it cannot be known whether an archive has more than it."
    if not archive.newest:
        return f"The archive could not be asked ({archive.why or 'it is empty'}), so it cannot be known whether it has more."
    # Another repository may have more.
    doubt = f" Not all of the archive could be asked ({archive.why})." if archive.why else ""
    timeline, end = segment_end(archive.newest, standby.segment)
    if timeline > standby.timeline:
        return (
            f"The archive ends with {archive.newest} of timeline {timeline}: another member has led since {standby.name} followed one. "
            f"Do not promote it; restore from the archive instead.{doubt}"
        )
    if end > standby.position + standby.segment:
        said = f"The archive ends with {archive.newest}, {amount(end - standby.position)} after it: let {standby.name} replay that first."
    else:
        said = f"The archive ends with {archive.newest}, of which it has everything up to its own position: the archive has nothing to add."
    return said + doubt


def of_leader(standby: Standby, keys: dict[str, str], prefix: str) -> list[str]:
    """What etcd knows of the lost leader: its last position, and whose copy was confirmed with each commit."""
    status = keys.get(prefix + "status", "")
    last = int((json.loads(status) if status.startswith("{") else {}).get("optime") or 0)
    sync = keys.get(prefix + "sync", "")
    confirmed = (json.loads(sync) if sync.startswith("{") else {}).get("sync_standby") or ""
    said = []
    if last > standby.position:
        said.append(f"etcd heard of the leader at {lsn(last)}: {standby.name} lacks {amount(last - standby.position)} of WAL at least.")
    elif last:
        said.append(f"etcd heard of the leader at {lsn(last)} last, which {standby.name} has; the leader may have written more after that.")
    if standby.name in confirmed.split(","):
        said.append(f"{standby.name} was synchronous: no acknowledged row is missing, and it should take over by itself.")
    else:
        who = confirmed or "nobody"
        said.append(f"{standby.name} was not synchronous (etcd names {who}): rows acknowledged after its newest commit will be lost.")
    return said


def statement(standby: Standby, keys: dict[str, str], prefix: str, archive: Archive | None) -> list[str]:
    """What is known of what would be lost."""
    newest = f"is of {standby.commit}" if standby.commit else "is not known (it replayed none since it started)"
    return [
        f"The newest commit of {standby.name} {newest}, on timeline {standby.timeline} at {lsn(standby.position)}.",
        *of_leader(standby, keys, prefix),
        of_archive(standby, archive),
        "If the lost leader comes back, its own rows are rewound away as soon as it follows: copy its data directory first if they matter.",
    ]


def refusal(name: str, cluster: dict[str, Any], own: dict[str, dict[str, Any]]) -> str:
    """Why nobody may be promoted now; empty when it is a person's decision. `own` is what members say of themselves."""
    members = {it["name"]: it for it in cluster.get("members", [])}
    leaders = [it["name"] for it in members.values() if it.get("role") in LEADERS]
    primaries = sorted(it for it, said in own.items() if said.get("role") in PRIMARIES and said.get("state") == "running")
    if not members:
        return f"Patroni of {name} does not answer, or etcd does not answer it; without etcd nobody can be promoted."
    if cluster.get("pause"):
        return "The cluster is paused: somebody works on it. When they are done: patronictl resume"
    if name in leaders or primaries == [name]:
        return f"{name} leads already."
    if leaders or primaries:
        return f"{', '.join(leaders or primaries)} leads. While somebody leads, hand over without loss: playbooks/patroni/switchover.yml"
    if name not in members:
        return f"{name} is no member of the cluster ({', '.join(sorted(members))})."
    return ""


def still_writes(connection: str) -> str:
    """Why nobody may be promoted beside a PostgreSQL that takes writes, whatever its Patroni says; empty where none does."""
    if not connection:
        return ""
    try:
        link = psycopg2.connect(connection)
    except psycopg2.Error:
        return ""
    host = link.info.host
    link.close()
    return (
        f"PostgreSQL on {host} takes writes, though nobody leads: both would acknowledge rows. Start its Patroni again; "
        "or, to give up what only it has, stop its PostgreSQL first."
    )


def newest_archived(module: AnsibleModule, stanza: str) -> Archive | None:
    """The archive's newest segment of all repositories that answer; nobody can write while this is asked."""
    if not stanza:
        return None
    asked = ["timeout", str(PATIENCE), "pgbackrest", f"--stanza={stanza}", "--io-timeout=5", "--output=json", "info"]
    code, out, error = module.run_command(["runuser", "-u", "postgres", "--", *asked])
    if code == TIMED_OUT:
        return Archive(why=f"no answer within {PATIENCE} s")
    if code != 0:
        return Archive(why=(error or out).strip().splitlines()[-1] if (error or out).strip() else f"pgbackrest ended with {code}")
    try:
        # What it quotes of a file that a wrong passphrase made noise of may be anything.
        told = json.loads(out, strict=False)
    except ValueError as wrong:
        return Archive(why=str(wrong))
    ends = [it.get("max") or "" for entry in told for it in entry.get("archive", [])]
    repositories = [it for entry in told for it in entry.get("repo", []) if it["status"]["code"] == UNREADABLE]
    silent = [f"repository {it['key']}: {it['status']['message']}" for it in repositories]
    why = "; ".join("".join(it if it.isprintable() else " " for it in said)[:200] for said in silent)
    return Archive(max((it for it in ends if re.fullmatch(r"[0-9A-F]{24}", it)), default=""), why)


def main() -> None:
    """Judge, state, and promote if that was accepted."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "scope": {"type": "str", "required": True},
            "accept": {"type": "str", "default": ""},
            "stanza": {"type": "str", "default": ""},
            "connection": {"type": "str", "default": ""},
            **ETCD_OPTIONS,
            **REST_OPTIONS,
            "wait": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    asked = module.params
    name, prefix = asked["name"], f"/service/{asked['scope']}/"
    if psycopg2 is None and asked["connection"]:
        module.fail_json(msg="connection needs python3-psycopg2, with which Patroni itself speaks to PostgreSQL.", statement=[])

    files = (asked["ca_file"], asked["certificate_file"], asked["key_file"])
    try:
        rest = Https(asked["url"], *files)
        cluster = rest.ask("/cluster")
        own = members_own_words(cluster, *files)
        reason = refusal(name, cluster, own) or still_writes(asked["connection"])
        if reason:
            module.fail_json(msg=reason, statement=[])
        _, keys = etcd_read([Https(url, *files) for url in asked["etcd_urls"]], asked["etcd_username"], asked["etcd_password"], prefix)
    except Unreachable as error:
        module.fail_json(msg=str(error), statement=[])
    code, out, error = module.run_command(["runuser", "-u", "postgres", "--", "psql", "-XAtc", QUESTION, "postgres"])
    if code != 0:
        module.fail_json(msg=f"PostgreSQL of {name} does not answer, so it cannot lead: {error.strip()}", statement=[])
    standby = standby_of(name, json.loads(out), cluster)
    said = statement(standby, keys, prefix, newest_archived(module, asked["stanza"]))
    if asked["accept"] != name:
        module.fail_json(
            msg=" ".join([*said, f"Nothing was changed. To promote {name} and accept this: -e patroni_accept_loss={name}"]), statement=said
        )
    if module.check_mode:
        module.exit_json(changed=True, statement=said)
    try:
        rest.timeout = asked["wait"]
        status, answer = rest.call("POST", "/failover", {"candidate": name})
    except Unreachable as error:
        status, answer = 0, str(error)
    if status != 200:
        module.fail_json(msg=f"Patroni did not promote {name} (HTTP {status}): {answer}", statement=said)
    rest.timeout, deadline = 5, time.monotonic() + asked["wait"]
    while not (rest.ask("/patroni").get("role") in PRIMARIES and rest.ask("/patroni").get("state") == "running"):
        if time.monotonic() > deadline:
            module.fail_json(msg=f"{name} has the lead and is not writable within {asked['wait']} s: journalctl -u patroni", statement=said)
        time.sleep(0.2)
    module.exit_json(changed=True, statement=said)


if __name__ == "__main__":
    main()
