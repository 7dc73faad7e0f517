#!/usr/bin/python
"""Restart the member on this host, if that is due, without taking the cluster's majority."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_restart
short_description: Restart an etcd member without losing the majority
description:
  - Restarts C(etcd.service) if one of its files, or its binary, is newer than the running process; else changes nothing.
  - Refuses while another member is not healthy, hands leadership to another member first, and returns when the member is healthy again.
  - Meant to run with C(throttle=1). A member that does not come back then stops the roll, as the next one refuses.
version_added: 0.1.0
author: The Elephant authors (@elephant)
extends_documentation_fragment: [elephant.ha.etcd]
options:
  name:
    description: Name of the member on this host.
    type: str
    required: true
  loaded_files:
    description: Files that C(etcd.service) reads when it starts.
    type: list
    elements: path
    required: true
  timeout:
    description: Seconds to wait for health, of the others before the restart and of this member after it.
    type: int
    default: 60
attributes:
  check_mode:
    description: Says whether a restart is due.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Run with the new configuration
  elephant.ha.etcd_restart:
    name: etcd-1
    loaded_files: [/etc/elephant/etcd.yml]
    cluster:
      members: [{name: etcd-1, address: 192.0.2.31}]
      ca_file: /etc/elephant/certificates/ca.crt
      certificate_file: /etc/elephant/certificates/etcd-root.crt
      key_file: /etc/elephant/certificates/etcd-root.key
  throttle: 1
"""

RETURN = r"""
reasons:
  description: What is newer than the process that ran.
  type: list
  returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.etcd import (
    CLIENT_PORT,
    CLUSTER_OPTION,
    HEALTHY,
    Cluster,
    EtcdError,
    journal,
    restart_reasons,
    systemctl,
    url,
)

UNIT = "etcd.service"


def wait_for_the_others(cluster: Cluster, name: str, timeout: float) -> None:
    """Return when every other member is healthy. Raises EtcdError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        ill = {member: state for member, state in cluster.health().items() if state != HEALTHY and member != name}
        if not ill:
            return
        if time.monotonic() > deadline:
            said = "; ".join(f"{member}: {state}" for member, state in ill.items())
            raise EtcdError(f"Member {name} is not restarted while others are not healthy ({said}). Bring them back, then run again.")
        time.sleep(0.3)


def hand_over(cluster: Cluster, name: str) -> None:
    """Make another voting member the leader if this one is, so that nobody waits for an election."""
    own = [url(cluster.addresses[name], CLIENT_PORT)]
    status = cluster.etcdctl(own, "endpoint", "status")[0]["Status"]
    if status["leader"] != status["header"]["member_id"]:
        return
    _, members = cluster.members(own)
    others = [it.id for it in members if not it.learner and it.name in cluster.addresses and it.name != name]
    if others:
        cluster.etcdctl(own, "move-leader", others[0])


def main() -> None:
    """Restart if due."""
    module = AnsibleModule(
        argument_spec={
            "cluster": CLUSTER_OPTION,
            "name": {"type": "str", "required": True},
            "loaded_files": {"type": "list", "elements": "path", "required": True},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    cluster, name, timeout = Cluster(module.params["cluster"]), module.params["name"], module.params["timeout"]
    try:
        reasons = restart_reasons(UNIT, module.params["loaded_files"], cluster.binaries / "etcd")
        if reasons and not module.check_mode:
            # Those who were started by this run come up meanwhile; one that failed its own restart does not.
            wait_for_the_others(cluster, name, min(timeout, 20))
            hand_over(cluster, name)
            systemctl("restart", UNIT)
            if (state := cluster.wait_until_healthy(name, timeout)) != HEALTHY:
                raise EtcdError(f"Member {name} is not healthy {timeout} s after its restart: {state}")
        module.exit_json(changed=bool(reasons), reasons=reasons)
    except EtcdError as error:
        module.fail_json(msg=f"{error}\nThe end of its journal:\n{journal(UNIT)}")


if __name__ == "__main__":
    main()
