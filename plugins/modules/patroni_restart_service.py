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
  - Pauses the cluster, restarts the unit, waits until Patroni has adopted the same PostgreSQL, and resumes.
  - A cluster that was paused before stays paused.
  - One member at a time; use C(throttle=1).
options:
  url:
    description: The member's REST API, as C(https://address:port).
    type: str
    required: true
  ca_file:
    description: CA that signed the API's certificate.
    type: path
    required: true
  certificate_file:
    description: Client certificate to show.
    type: path
    required: true
  key_file:
    description: Its private key.
    type: path
    required: true
  unit:
    description: Patroni's systemd unit.
    type: str
    default: patroni.service
  timeout:
    description: Seconds that each step may take.
    type: int
    default: 30
author:
  - The Elephant authors
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
  throttle: 1
"""

RETURN = r"""
postmaster_start_time:
  description: When PostgreSQL, which was not restarted, was started.
  returned: always
  type: str
"""

import subprocess
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.patroni_rest import Https, Unreachable


def member(rest: Https) -> dict[str, Any]:
    """The member's own state; empty while it does not answer."""
    try:
        _, state = rest.call("GET", "/patroni")
    except Unreachable:
        return {}
    return state if isinstance(state, dict) else {}


def until(condition: Callable[[], bool], seconds: int) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def set_pause(rest: Https, value: bool | None) -> None:
    """Write the pause into the DCS; raises Unreachable when it is refused."""
    status, answer = rest.call("PATCH", "/config", {"pause": value})
    if status != 200:
        raise Unreachable(f"PATCH /config answered HTTP {status}: {answer}")


def main() -> None:
    """Pause, restart, adopt, resume."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "ca_file": {"type": "path", "required": True},
            "certificate_file": {"type": "path", "required": True},
            "key_file": {"type": "path", "required": True, "no_log": False},
            "unit": {"type": "str", "default": "patroni.service"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    asked = module.params
    seconds = asked["timeout"]
    rest = Https(asked["url"], asked["ca_file"], asked["certificate_file"], asked["key_file"])
    before = member(rest)
    started = before.get("postmaster_start_time")
    if module.check_mode or not started:
        module.exit_json(changed=module.check_mode, postmaster_start_time=started or "")
    ours = not before.get("pause")
    try:
        if ours:
            set_pause(rest, True)
        if not until(lambda: bool(member(rest).get("pause")), seconds):
            module.fail_json(
                msg=f"The member did not see the pause within {seconds} s, so Patroni was not restarted (it would have stopped PostgreSQL)."
            )
        subprocess.run(["systemctl", "restart", asked["unit"]], check=True, capture_output=True, text=True)
        if not until(lambda: member(rest).get("postmaster_start_time") == started, seconds):
            module.fail_json(msg=f"Patroni did not come back to its PostgreSQL within {seconds} s; see: journalctl --unit {asked['unit']}")
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"systemctl restart {asked['unit']} failed: {error.stderr}")
    except Unreachable as error:
        module.fail_json(msg=f"The cluster could not be paused, so Patroni was not restarted: {error}")
    finally:
        if ours and until(lambda: bool(member(rest)), seconds):
            set_pause(rest, None)
    module.exit_json(changed=True, postmaster_start_time=started)


if __name__ == "__main__":
    main()
