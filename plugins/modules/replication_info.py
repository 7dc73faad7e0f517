#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""What a member of a plain replication has, runs and hears from its peers, in one visit."""

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_info
short_description: State of a member of a plain replication
version_added: 0.1.0
description:
  - Reads what lies in the data directory, whether the server runs, in which role, from whom it streams, and what each other member answers.
  - Changes nothing.
options:
  name:
    description: Name of this member.
    type: str
    required: true
  members:
    description: Every member, with C(name) and C(address).
    type: list
    elements: dict
    required: true
  version:
    description: Major version of PostgreSQL.
    type: str
    required: true
  data_directory:
    description: The data directory.
    type: path
    required: true
  connection:
    description: How a member asks another for WAL, without C(host).
    type: str
    required: true
  upstream:
    description: Address of the member that has to be streamed from; empty for a primary. Used with O(wait).
    type: str
    default: ""
  wait:
    description:
      - Seconds to wait until the server accepts writes (without O(upstream)) or streams from O(upstream). 0 looks once.
      - A standby that is in its delay streams when that is over, and is not waited for.
    type: int
    default: 0
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It changes nothing.
"""

EXAMPLES = r"""
- name: What the member has
  elephant.ha.replication_info:
    name: db-1
    members: [{name: db-1, address: 192.0.2.21}, {name: db-2, address: 192.0.2.22}]
    version: "17"
    data_directory: /var/lib/postgresql/17/main
    connection: user=replicator dbname=postgres
  register: found
"""

RETURN = r"""
answers:
  description: Whether the local server answers.
  returned: always
  type: bool
data:
  description: C(absent), C(empty), C(foreign) or C(cluster).
  returned: always
  type: str
recovery:
  description: Whether it is a standby.
  returned: always
  type: bool
delayed:
  description: Whether a standby waits, before it replays what it has received, for the time that it has to stay behind.
  returned: always
  type: bool
others:
  description: What each other member answered over TLS.
  returned: always
  type: dict
lost:
  description: Why a running standby can never catch up; empty when it may.
  returned: always
  type: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.replication_host import log_tail, look, lost, server, streaming


def settled(found: dict[str, Any], upstream: str) -> bool:
    """Whether the server has the place that it should have.

    A standby with a delay whose connection broke asks for more WAL only when it has replayed what it has: PostgreSQL connects between two
    records, and it waits inside of one. Its slot keeps what it has not got.
    """
    return found["answers"] and (streaming(found, upstream) or found["delayed"] if upstream else not found["recovery"])


def wait(module: AnsibleModule, found: dict[str, Any]) -> None:
    """Return when settled; fail with what the server's log says when it never will be, or when the time is over."""
    asked = module.params
    upstream, deadline = asked["upstream"], time.monotonic() + asked["wait"]
    while not settled(found, upstream):
        found.update(server(asked))
        found["lost"] = lost(found)
        if found["lost"] or time.monotonic() > deadline:
            meant = f"stream from {upstream}" if upstream else "accept writes"
            why = found["lost"] or f"not within {asked['wait']} s"
            rebuild = (
                f" To copy it anew: ansible-playbook playbooks/replication/rebuild.yml -e replication_member={asked['name']}"
                if upstream
                else ""
            )
            module.fail_json(
                msg=f"{asked['name']} does not {meant}: {why}.{rebuild} Its log says last:\n" + "\n".join(log_tail(12)), **found
            )
        time.sleep(0.25)


def main() -> None:
    """Gather, and wait if asked to."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "members": {"type": "list", "elements": "dict", "required": True},
            "version": {"type": "str", "required": True},
            "data_directory": {"type": "path", "required": True},
            "connection": {"type": "str", "required": True},
            "upstream": {"type": "str", "default": ""},
            "wait": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    found = look(module.params)
    if module.params["wait"]:
        wait(module, found)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
