#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Copies a standby anew, by the method that is asked for, and gives up when nothing moves any more."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_reinit
short_description: Drop a standby's data and copy the cluster's anew
version_added: 0.1.0
description:
  - Runs on the standby. Refuses for a leader, in a cluster without one, and in a paused one.
  - Tells Patroni the method in a file of its configuration that is there only meanwhile, asks it to reinitialize, and watches.
  - Fails when nothing moves for O(stall_seconds) (a restore may succeed and then wait for WAL for ever), or when the copy was
    tried O(attempts) times.
extends_documentation_fragment: [elephant.ha.patroni, elephant.ha.patroni.tls]
options:
  name:
    description: Name of the standby.
    type: str
    required: true
  method:
    description: A copy of the leader over the network, or of the repository of the backups.
    type: str
    choices: [basebackup, repository]
    default: basebackup
  repository_command:
    description: Command that restores the newest backup into the data directory.
    type: str
    default: ""
  config_directory:
    description: Folder of the member's configuration.
    type: path
    required: true
  synchronous_members:
    description: How many members must be there before a synchronous standby is expected. 0 expects none.
    type: int
    default: 0
  stall_seconds:
    description: Seconds without any progress after which the copy has failed.
    type: int
    default: 120
  attempts:
    description: How often Patroni may begin the copy.
    type: int
    default: 3
  unit:
    description: Patroni's systemd unit.
    type: str
    default: patroni.service
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
- name: The standby is a fresh copy
  elephant.ha.patroni_reinit:
    name: db-2
    method: repository
    repository_command: pgbackrest --stanza=elephant --delta --type=standby restore
    config_directory: /etc/elephant/patroni
    url: https://192.0.2.22:8008
    ca_file: /etc/elephant/certificates/ca.crt
    certificate_file: /etc/elephant/certificates/patroni.crt
    key_file: /etc/elephant/certificates/patroni.key
"""

RETURN = r"""
seconds:
  description: How long it took until the standby streamed again.
  returned: changed
  type: float
"""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.copying import ATTEMPTS, STALL_SECONDS, Progress
from ansible_collections.elephant.ha.plugins.module_utils.patroni_rest import LEADERS, REST_OPTIONS, SYNCHRONOUS, Https, Unreachable


class Failed(Exception):
    """The copy did not come about; its text is for the person at the keyboard."""


def refusal(name: str, cluster: dict[str, Any]) -> str:
    """Why `name` cannot be copied anew in this cluster (GET /cluster); empty when it can."""
    members = {it["name"]: it for it in cluster.get("members", [])}
    leaders = [it["name"] for it in members.values() if it.get("role") in LEADERS and it.get("state") == "running"]
    if not members:
        return f"Patroni of {name} does not answer, so it cannot be told to copy anything: systemctl status patroni"
    if cluster.get("pause"):
        return "The cluster is paused: somebody works on it. When they are done: patronictl resume"
    if name in leaders:
        return f"{name} leads the cluster; its data are never dropped. Hand the lead over first: playbooks/patroni/switchover.yml"
    if not leaders:
        return "Nobody leads the cluster, so there is nothing to copy from, and these may be the last data: nothing was dropped."
    if name not in members:
        return f"{name} is no member of the cluster ({', '.join(sorted(members))}): is its Patroni running?"
    return ""


def in_place(name: str, cluster: dict[str, Any], synchronous_members: int) -> bool:
    """Whether `name` streams, and somebody is synchronous where that is expected."""
    members = {it["name"]: it for it in cluster.get("members", [])}
    streams = (members.get(name) or {}).get("state") == "streaming"
    expected = 0 < synchronous_members <= len(members)
    return streams and (not expected or any(it.get("role") in SYNCHRONOUS for it in members.values()))


def configuration(method: str, repository_command: str) -> dict[str, Any]:
    """What Patroni must know for this method. The repository's copy compares with what is there, so that is kept for it."""
    if method == "basebackup":
        return {"postgresql": {"create_replica_methods": ["basebackup"]}}
    copy = {"command": repository_command, "keep_data": True, "no_params": True}
    return {"postgresql": {"create_replica_methods": ["repository"], "repository": copy}}


def reloaded(rest: Https, unit: str, seconds: int) -> None:
    """Patroni has read its files again. It does so between two rounds of its loop; each round shows in dcs_last_seen."""
    subprocess.run(["systemctl", "reload", unit], check=True, capture_output=True, text=True)
    seen, deadline = [int(time.time())], time.monotonic() + seconds
    while len(seen) < 3:
        if time.monotonic() > deadline:
            raise Failed(f"Patroni did not read its configuration again within {seconds} s.")
        time.sleep(0.2)
        last = rest.ask("/patroni").get("dcs_last_seen", 0)
        seen += [last] if last > seen[-1] else []


def stuck(state: str) -> str:
    """What the state says about a copy that does not move."""
    if state in ("running", "starting"):
        return "it has its copy and waits for WAL that nobody gives it: the archive lacks some, or the leader keeps it no more"
    return f"its state is {state or 'unknown'}"


def watch(rest: Https, asked: dict[str, Any], before: str | None) -> None:
    """Until the standby streams from a PostgreSQL that was started anew; raises Failed when it stalls or tries too often."""
    progress = Progress(asked["stall_seconds"], asked["attempts"])
    while True:
        own, cluster = rest.ask("/patroni"), rest.ask("/cluster")
        started = own.get("postmaster_start_time")
        if started and started != before and in_place(asked["name"], cluster, asked["synchronous_members"]):
            return
        progress.look(own)
        if progress.too_often:
            raise Failed(f"the copy was begun {len(progress.begun)} times and never ended well")
        if progress.stalled:
            raise Failed(f"nothing moved for {asked['stall_seconds']} s: {stuck(own.get('state', ''))}")
        time.sleep(1)


def main() -> None:
    """Judge, tell the method, copy, watch, put the configuration back."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "method": {"type": "str", "choices": ["basebackup", "repository"], "default": "basebackup"},
            "repository_command": {"type": "str", "default": ""},
            "config_directory": {"type": "path", "required": True},
            "synchronous_members": {"type": "int", "default": 0},
            "stall_seconds": {"type": "int", "default": STALL_SECONDS},
            "attempts": {"type": "int", "default": ATTEMPTS},
            "unit": {"type": "str", "default": "patroni.service"},
            **REST_OPTIONS,
        },
        required_if=[("method", "repository", ["repository_command"])],
        supports_check_mode=True,
    )
    asked = module.params
    if asked["method"] == "repository" and not asked["repository_command"].strip():
        module.fail_json(msg="repository_command is empty; a copy of the repository needs the command that restores from it.")
    try:
        rest = Https(asked["url"], asked["ca_file"], asked["certificate_file"], asked["key_file"])
    except Unreachable as error:
        module.fail_json(msg=str(error))
    reason = refusal(asked["name"], rest.ask("/cluster"))
    if reason:
        module.fail_json(msg=reason)
    if module.check_mode:
        module.exit_json(changed=True)
    begin = time.monotonic()
    before = rest.ask("/patroni").get("postmaster_start_time")
    file, problem = Path(asked["config_directory"]) / "reinit.yml", ""
    try:
        # JSON is YAML too.
        file.write_text(json.dumps(configuration(asked["method"], asked["repository_command"])) + "\n")
        file.chmod(0o640)
        shutil.chown(file, "root", "postgres")
        reloaded(rest, asked["unit"], 120)
        rest.timeout = 60
        status, answer = rest.call("POST", "/reinitialize", {"force": True})
        rest.timeout = 5
        if status != 200:
            raise Failed(f"Patroni refused (HTTP {status}): {answer}")
        watch(rest, asked, before)
    except (Failed, Unreachable) as error:
        problem = str(error)
    except subprocess.CalledProcessError as error:
        problem = f"systemctl reload {asked['unit']} failed: {error.stderr}"
    finally:
        file.unlink(missing_ok=True)
    module.run_command(["systemctl", "reload", asked["unit"]])
    if problem:
        other = {"basebackup": "repository", "repository": "basebackup"}[asked["method"]]
        module.fail_json(msg=f"{asked['name']} was not copied anew: {problem}. See: journalctl -u patroni. The other method is {other}.")
    module.exit_json(changed=True, seconds=round(time.monotonic() - begin, 1))


if __name__ == "__main__":
    main()
