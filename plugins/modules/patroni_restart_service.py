#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Starts Patroni anew and leaves PostgreSQL running."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_restart_service
short_description: Restart Patroni's unit over a running PostgreSQL
version_added: 0.1.0
description:
  - Does nothing unless the running Patroni is older than its unit, its packages or O(files).
  - Pauses the cluster, restarts the unit, waits until Patroni has adopted the same PostgreSQL, resumes, and waits until every
    member has seen that.
  - A cluster that was paused before stays paused. One that an interrupted restart left paused (O(mark) is there) is resumed.
  - One member at a time; use C(throttle=1).
extends_documentation_fragment: [elephant.ha.patroni, elephant.ha.patroni.tls]
options:
  unit:
    description: Patroni's systemd unit.
    type: str
    default: patroni.service
  files:
    description: What Patroni reads when it starts only.
    type: list
    elements: path
    default: []
  packages:
    description: Packages whose upgrade takes a restart.
    type: list
    elements: str
    default: []
  mark:
    description: File that is there while this module has the cluster paused.
    type: path
    default: /var/lib/elephant/patroni.paused
  timeout:
    description: Seconds that each step may take.
    type: int
    default: 60
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: Says that it would restart.
  diff_mode:
    support: none
    description: There is nothing to compare.
"""

EXAMPLES = r"""
- name: A changed unit is in force
  elephant.ha.patroni_restart_service:
    url: https://192.0.2.21:8008
    ca_file: /etc/elephant/certificates/ca.crt
    certificate_file: /etc/elephant/certificates/patroni.crt
    key_file: /etc/elephant/certificates/patroni.key
    files: [/etc/systemd/system/patroni.service]
    packages: [patroni]
  throttle: 1
"""

RETURN = r"""
reasons:
  description: Why Patroni had to be restarted.
  returned: always
  type: list
  elements: str
postmaster_start_time:
  description: When PostgreSQL, which was not restarted, was started.
  returned: changed
  type: str
"""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils import units
from ansible_collections.elephant.ha.plugins.module_utils.patroni_rest import REST_OPTIONS, Https, Unreachable


class Failed(Exception):
    """A step did not come about; its text is for the person at the keyboard."""


def until(condition: Callable[[], bool], seconds: int, otherwise: str) -> None:
    """Wait until the condition is true; raises Failed with the sentence `otherwise` when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(otherwise)
        time.sleep(0.2)


class Member:
    """The member of this host, and the others through the store that they share."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.rest = self.at(asked["url"])
        self.others: list[Https] = []

    def at(self, url: str) -> Https:
        """The REST API of a member."""
        return Https(url, self.asked["ca_file"], self.asked["certificate_file"], self.asked["key_file"])

    def place(self) -> tuple[str, str]:
        """Its role and state as the others see them; empty words while it has none."""
        cluster, name = self.rest.ask("/cluster"), (self.rest.ask("/patroni").get("patroni") or {}).get("name")
        own = next((it for it in cluster.get("members", []) if it["name"] == name), {})
        return own.get("role", ""), own.get("state", "")

    def set_pause(self, value: bool | None) -> bool:
        """Write the pause into the store, through whichever member answers; whether that worked."""
        for rest in [self.rest, *self.others]:
            try:
                if rest.call("PATCH", "/config", {"pause": value})[0] == 200:
                    return True
            except Unreachable:
                continue
        return False

    def nobody_sees_a_pause(self) -> bool:
        """Whether all that answer have seen the end of the pause: the next one to be restarted must not take it for somebody else's."""
        return not any(it.ask("/patroni").get("pause") for it in [self.rest, *self.others])


def restart(member: Member, unit: str, seconds: int) -> str:
    """Restart the unit of a paused member; answers when its PostgreSQL was started."""
    until(
        lambda: bool(member.rest.ask("/patroni").get("pause")),
        seconds,
        f"The member did not see the pause within {seconds} s, so Patroni was not restarted (it would have stopped PostgreSQL).",
    )
    started, (role, _) = member.rest.ask("/patroni").get("postmaster_start_time"), member.place()
    subprocess.run(["systemctl", "daemon-reload"], check=True, capture_output=True, text=True)
    subprocess.run(["systemctl", "restart", unit], check=True, capture_output=True, text=True)
    until(
        lambda: member.rest.ask("/patroni").get("postmaster_start_time") == started,
        seconds,
        f"Patroni did not come back to its PostgreSQL within {seconds} s; see: journalctl --unit {unit}",
    )
    # A leader that resumes before it holds its lease again would be voted out.
    until(
        lambda: member.place()[0] == role or role not in ("leader", "standby_leader"),
        seconds,
        f"The member was {role} and is that no more after {seconds} s; see: journalctl --unit {unit}",
    )
    return started or ""


def main() -> None:
    """Pause, restart, adopt, resume."""
    module = AnsibleModule(
        argument_spec={
            **REST_OPTIONS,
            "unit": {"type": "str", "default": "patroni.service"},
            "files": {"type": "list", "elements": "path", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "mark": {"type": "path", "default": "/var/lib/elephant/patroni.paused"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    asked = module.params
    seconds, mark = asked["timeout"], Path(asked["mark"])
    due = units.restart_due(units.state(asked["unit"]), [*asked["files"], *units.package_marks(asked["packages"])])
    reasons = due + ([str(mark)] if mark.exists() else [])
    if not reasons or module.check_mode:
        module.exit_json(changed=bool(reasons), reasons=reasons)
    # Whoever breaks off the play must not leave the cluster without failover.
    for name in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    started, problem = "", ""
    try:
        member = Member(asked)
        until(lambda: bool(member.rest.ask("/cluster")), seconds, f"Patroni at {asked['url']} does not answer, so it was not restarted.")
        cluster = member.rest.ask("/cluster")
        member.others = [member.at(it["api_url"].rsplit("/", 1)[0]) for it in cluster["members"] if it.get("api_url")]
        ours = mark.exists() or not cluster.get("pause")
        if ours:
            mark.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            mark.touch()
            until(lambda: member.set_pause(True), seconds, "The cluster could not be paused, so Patroni was not restarted.")
        try:
            started = restart(member, asked["unit"], seconds) if due else ""
        except (Failed, subprocess.CalledProcessError) as error:
            problem = str(getattr(error, "stderr", "") or error)
        if ours:
            paused = "The cluster is still paused, nobody fails over until: patronictl resume"
            until(lambda: member.set_pause(None), seconds, " ".join([problem, paused]).strip())
            until(member.nobody_sees_a_pause, seconds, " ".join([problem, paused]).strip())
            mark.unlink(missing_ok=True)
    except (Failed, Unreachable) as error:
        problem = str(error)
    if problem:
        module.fail_json(msg=problem, reasons=reasons)
    module.exit_json(changed=True, reasons=reasons, postmaster_start_time=started)


if __name__ == "__main__":
    main()
