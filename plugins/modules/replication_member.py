#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""The steps in the life of a member that change its data directory, with Debian's own tools."""

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_member
short_description: Form, copy, rewind, stop or promote a member of a plain replication
version_added: 0.1.0
description:
  - Each step either ends whole or leaves what was there before.
  - A copy is made beside the data directory and takes its place when it is complete.
options:
  step:
    description:
      - C(form) makes a new database.
      - C(copy) makes this member a standby with a base backup of O(source); C(replace) does so although it has data.
      - C(slot) makes the slot of this member on O(source), if it is not there.
      - C(rewind) makes a stopped former primary a standby of O(source), copying only what differs.
      - C(stop) stops the server in good order and says up to where it wrote. C(follow) makes the stopped server a standby.
      - C(promote) makes a standby the primary.
      - C(drop_slots) drops the slots named in O(slots).
    type: str
    required: true
    choices: [form, copy, replace, slot, rewind, stop, follow, promote, drop_slots]
  version:
    description: Major version of PostgreSQL.
    type: str
    required: true
  data_directory:
    description: The data directory.
    type: path
    required: true
  source:
    description: How to ask the other member for WAL; for C(rewind) how to read its files.
    type: str
    default: ""
  slot:
    description: Name of this member's slot.
    type: str
    default: ""
  slots:
    description: Slots to drop.
    type: list
    elements: str
    default: []
  wait:
    description: Seconds that a step which waits for the other member may take.
    type: int
    default: 60
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: Does nothing and reports a change.
  diff_mode:
    support: none
    description: There is nothing to compare.
"""

EXAMPLES = r"""
- name: The standby is a copy of the primary
  elephant.ha.replication_member:
    step: copy
    version: "17"
    data_directory: /var/lib/postgresql/17/main
    source: host=192.0.2.21 user=replicator
    slot: db_2
"""

RETURN = r"""
position:
  description: For C(stop), the place in the WAL where the server ended, in bytes.
  returned: when stopped
  type: int
"""

import shutil
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.replication_host import (
    Failed,
    as_postgres,
    binary,
    configuration,
    control,
    run,
    sql,
    unit,
)

SETTINGS = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")


def adopt(asked: dict[str, Any], *initdb: str) -> None:
    """Debian's cluster 17/main is there, around the data directory; ours from its first moment, so that the next run knows it."""
    words = ["pg_createcluster", asked["version"], "main", "--datadir", asked["data_directory"], "--port", "5432"]
    run(*words, "--encoding", "UTF8", "--locale", "C.UTF-8", *initdb)
    ours = configuration(asked) / "conf.d/elephant.conf"
    ours.touch(mode=0o644)


def form(asked: dict[str, Any]) -> None:
    """A new database with checksums, which pg_rewind needs; peer on the socket."""
    adopt(asked, "--", "--data-checksums", "--auth-local", "peer", "--auth-host", "scram-sha-256")


def signal(place: Path) -> None:
    """The file that makes the next start a standby's."""
    file = place / "standby.signal"
    file.touch(mode=0o600)
    shutil.chown(file, "postgres", "postgres")


def copy(asked: dict[str, Any]) -> None:
    """A base backup beside the data directory takes its place when it is complete."""
    place = Path(asked["data_directory"])
    fresh, old = place.with_name(place.name + ".copy"), place.with_name(place.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    shutil.chown(fresh, "postgres", "postgres")
    try:
        as_postgres(
            binary(asked, "pg_basebackup"), "--pgdata", str(fresh), "--dbname", asked["source"], "--checkpoint=fast", "--no-password"
        )
        signal(fresh)
        if not configuration(asked).joinpath("postgresql.conf").exists():
            lend_settings(asked, fresh)
    except Failed:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    if not configuration(asked).joinpath("postgresql.conf").exists():
        adopt(asked)


def lend_settings(asked: dict[str, Any], place: Path) -> None:
    """pg_createcluster takes in a data directory only with its settings, which Debian keeps elsewhere and a base backup therefore lacks."""
    for name in SETTINGS:
        sample = Path("/usr/share/postgresql") / asked["version"] / f"{name}.sample"
        shutil.copyfile(sample, place / name)
        shutil.chown(place / name, "postgres", "postgres")


def slot(asked: dict[str, Any]) -> bool:
    """This member's slot is on the source, which may still be starting."""
    words = ["--dbname", asked["source"], "--slot", asked["slot"], "--create-slot", "--no-password"]
    deadline = time.monotonic() + asked["wait"]
    while True:
        done = as_postgres(binary(asked, "pg_receivewal"), *words, ok=False)
        if done.returncode == 0:
            return True
        if "already exists" in done.stderr:
            return False
        if time.monotonic() > deadline:
            raise Failed(done.stderr.strip())
        time.sleep(0.5)


def stop(asked: dict[str, Any]) -> None:
    """In good order: standbys that stream have received everything before it ends."""
    run("systemctl", "stop", unit(asked))
    # The server may have been started around systemd.
    run("pg_ctlcluster", asked["version"], "main", "stop", "--mode=fast", "--skip-systemctl-redirect", ok=False)


def rewind(asked: dict[str, Any]) -> None:
    """Take over from the source what differs since the timelines parted."""
    stop(asked)
    place = Path(asked["data_directory"])
    # A crashed server is recovered first by pg_rewind itself, which starts it alone with these settings.
    settings = str(configuration(asked) / "postgresql.conf")
    words = ("--target-pgdata", str(place), "--source-server", asked["source"], "--config-file", settings)
    done = as_postgres(binary(asked, "pg_rewind"), *words, ok=False)
    if done.returncode != 0:
        raise Failed(f"{(done.stderr or done.stdout).strip()}\nA copy of everything does without: -e replication_rebuild_by=copy")
    signal(place)


def promote(asked: dict[str, Any]) -> None:
    """And a checkpoint, so that whoever rewinds to it finds the new timeline in its control file."""
    if sql(f"SELECT pg_promote(true, {asked['wait']})") != "t":
        raise Failed(f"it did not become the primary within {asked['wait']} s")
    sql("CHECKPOINT")


def position(asked: dict[str, Any]) -> int:
    """Where the last checkpoint of the stopped server ends, in bytes. Raises Failed when it did not stop in good order."""
    said = control(asked)
    if said.get("Database cluster state") not in ("shut down", "shut down in recovery"):
        raise Failed(f"it did not stop in good order: {said.get('Database cluster state')}")
    high, low = said["Latest checkpoint location"].split("/")
    return (int(high, 16) << 32) + int(low, 16)


def drop_slots(asked: dict[str, Any]) -> None:
    """Names are letters, digits and _ only: PostgreSQL allows no others."""
    for name in asked["slots"]:
        sql(f"SELECT pg_drop_replication_slot('{name}')")


def act(asked: dict[str, Any]) -> dict[str, Any]:
    """Take the step; answers what the module returns."""
    step = asked["step"]
    if step == "slot":
        return {"changed": slot(asked)}
    if step == "stop":
        stop(asked)
        return {"changed": True, "position": position(asked)}
    if step == "replace":
        stop(asked)
        copy(asked)
    elif step == "follow":
        signal(Path(asked["data_directory"]))
    else:
        {"form": form, "copy": copy, "rewind": rewind, "promote": promote, "drop_slots": drop_slots}[step](asked)
    return {"changed": True}


def main() -> None:
    """Take the step."""
    module = AnsibleModule(
        argument_spec={
            "step": {
                "type": "str",
                "required": True,
                "choices": ["form", "copy", "replace", "slot", "rewind", "stop", "follow", "promote", "drop_slots"],
            },
            "version": {"type": "str", "required": True},
            "data_directory": {"type": "path", "required": True},
            "source": {"type": "str", "default": ""},
            "slot": {"type": "str", "default": ""},
            "slots": {"type": "list", "elements": "str", "default": []},
            "wait": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    try:
        module.exit_json(**act(module.params))
    except Failed as error:
        module.fail_json(msg=f"{module.params['step']} failed: {error}")


if __name__ == "__main__":
    main()
