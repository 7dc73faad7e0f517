#!/usr/bin/python
"""Take a member into a living etcd cluster, or out of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Take a member into a living etcd cluster, or out of it
description:
  - V(present) adds the member on this host as a learner, starts it with an empty data directory, and gives it its vote once it has
    caught up. A learner that does not start is taken out again; one that started and never got its vote gets it. Meant to run with
    C(throttle=1).
  - V(absent) takes a member out by its name, from any host that holds an administrator's certificate.
version_added: 0.1.0
author: The Elephant authors (@elephant)
extends_documentation_fragment: [elephant.ha.etcd]
options:
  name:
    description: Name of the member.
    type: str
    required: true
  state:
    description: Whether the cluster should have it.
    type: str
    choices: [present, absent]
    default: present
  settings:
    description: The member's configuration, to which what only a first start needs is added.
    type: dict
    default: {}
  first_start_file:
    description: Where the configuration of the first start is put while it lasts; required to join.
    type: path
  timeout:
    description: Seconds to wait until the member has caught up.
    type: int
    default: 120
attributes:
  check_mode:
    description: Says whether the member list would change.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: The dead member is no longer counted
  elephant.ha.etcd_member:
    name: etcd-3
    state: absent
    cluster:
      members: [{name: etcd-1, address: 192.0.2.31}, {name: etcd-2, address: 192.0.2.32}]
      ca_file: /etc/elephant/certificates/ca.crt
      certificate_file: /etc/elephant/certificates/etcd-root.crt
      key_file: /etc/elephant/certificates/etcd-root.key
"""

RETURN = r"""
members:
  description: Names of the members that the cluster has now.
  type: list
  returned: always
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.etcd import (
    CLIENT_PORT,
    CLUSTER_OPTION,
    HEALTHY,
    PEER_PORT,
    Cluster,
    EtcdError,
    Member,
    journal,
    systemctl,
    url,
)

UNIT = "etcd.service"


def reach(cluster: Cluster) -> list[str]:
    """Client URLs of the healthy members. Raises EtcdError when there is none."""
    health = cluster.health()
    endpoints = cluster.endpoints(health)
    if not endpoints:
        raise EtcdError("No member is healthy: " + "; ".join(f"{name}: {state}" for name, state in health.items()))
    return endpoints


def first_start(settings: dict[str, Any], name: str, address: str, members: list[Member]) -> dict[str, Any]:
    """The settings by which an empty member joins: the peers that the cluster has, itself by name included."""
    peers = {it.name or name: url(it.address, PEER_PORT) for it in members}
    return {
        **settings,
        "initial-advertise-peer-urls": url(address, PEER_PORT),
        "initial-cluster": ",".join(f"{peer}={peer_url}" for peer, peer_url in peers.items()),
        "initial-cluster-state": "existing",
    }


def leader(cluster: Cluster, endpoints: list[str]) -> list[str]:
    """The endpoint of the leader; all of them while none of them leads."""
    rows = [(it["Endpoint"], it["Status"]) for it in cluster.etcdctl(endpoints, "endpoint", "status")]
    return [endpoint for endpoint, status in rows if status["leader"] == status["header"]["member_id"]] or endpoints


def promote(cluster: Cluster, endpoints: list[str], member: Member, timeout: float) -> None:
    """Give a learner its vote. etcd refuses until it has caught up, hence again until `timeout` seconds are over.

    The leader itself is asked: a follower passes a promotion on without who asked for it, and with authentication on that is refused.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            cluster.etcdctl(leader(cluster, endpoints), "member", "promote", member.id)
            return
        except EtcdError:
            # An answer may be lost on its way; what counts is what the cluster has.
            if any(it.id == member.id and not it.learner for it in cluster.members(endpoints)[1]):
                return
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def begin(cluster: Cluster, given: dict[str, Any], endpoints: list[str], member: Member, members: list[Member]) -> None:
    """Start and promote a member that was added. Raises EtcdError, with the learner taken out again, when it does not start."""
    file = Path(given["first_start_file"])
    try:
        file.parent.mkdir(mode=0o755, exist_ok=True)
        # JSON is YAML, which is what etcd reads.
        file.write_text(json.dumps(first_start(given["settings"], given["name"], member.address, members), indent=1), encoding="utf-8")
        systemctl("start", UNIT)
        if member.learner:
            promote(cluster, endpoints, member, given["timeout"])
    except EtcdError:
        systemctl("stop", UNIT)
        if member.learner:
            cluster.etcdctl(endpoints, "member", "remove", member.id)
        raise
    finally:
        file.unlink(missing_ok=True)


def join(cluster: Cluster, given: dict[str, Any]) -> None:
    """Add as a learner, start, promote; where an earlier run was cut off, it goes on from there."""
    name = given["name"]
    address = cluster.addresses[name]
    # A learner answers little of what is asked here.
    endpoints = [it for it in reach(cluster) if it != url(address, CLIENT_PORT)]
    _, members = cluster.members(endpoints)
    if not any(it.address == address and (it.learner or not it.started) for it in members):
        cluster.etcdctl(endpoints, "member", "add", name, "--learner", f"--peer-urls={url(address, PEER_PORT)}")
        _, members = cluster.members(endpoints)
    member = next(it for it in members if it.address == address)
    if member.started:
        systemctl("start", UNIT)
        promote(cluster, endpoints, member, given["timeout"])
    else:
        begin(cluster, given, endpoints, member, members)
    if (state := cluster.wait_until_healthy(name, given["timeout"])) != HEALTHY:
        raise EtcdError(f"Member {name} has its vote, but is not healthy: {state}")


def main() -> None:
    """Compare the member list with what is wanted, and change it."""
    module = AnsibleModule(
        argument_spec={
            "cluster": CLUSTER_OPTION,
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "settings": {"type": "dict", "default": {}},
            "first_start_file": {"type": "path"},
            "timeout": {"type": "int", "default": 120},
        },
        required_if=[("state", "present", ["first_start_file"])],
        supports_check_mode=True,
    )
    given = module.params
    cluster = Cluster(given["cluster"])
    try:
        endpoints = reach(cluster)
        _, members = cluster.members(endpoints)
        known = [it for it in members if it.name == given["name"] and (given["state"] == "absent" or (it.started and not it.learner))]
        changed = bool(known) == (given["state"] == "absent")
        if changed and not module.check_mode:
            if given["state"] == "present":
                join(cluster, given)
            else:
                cluster.etcdctl(endpoints, "member", "remove", known[0].id)
            members = cluster.members(reach(cluster))[1]
        module.exit_json(changed=changed, members=sorted(it.name for it in members))
    except EtcdError as error:
        said = f"\nThe end of its journal:\n{journal(UNIT)}" if given["state"] == "present" else ""
        module.fail_json(msg=f"{error}{said}")


if __name__ == "__main__":
    main()
