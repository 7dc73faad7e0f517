#!/usr/bin/python
"""What one host and, through it, the cluster say about etcd, in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_info
short_description: What a host and its cluster say about etcd
description:
  - Looks at packages, binaries, files, directories, units and the data directory of the host, and asks every declared member
    for its health.
  - Changes nothing. One call in place of a dozen tasks, so that a run on a host that matches is quick.
version_added: 0.1.0
author: The Elephant authors (@elephant)
extends_documentation_fragment: [elephant.ha.etcd]
options:
  name:
    description: Name of the member on this host.
    type: str
    required: true
  packages:
    description: Packages that should be installed; those that are not are returned.
    type: list
    elements: str
    default: []
  files:
    description: Files that should be there with C(path), C(content) and C(mode), all of root; those that differ are returned.
    type: list
    elements: dict
    default: []
  directories:
    description: Directories that should be there with C(path), C(owner) and C(mode); those that differ are returned.
    type: list
    elements: dict
    default: []
  data_directory:
    description: The member's data directory.
    type: path
    required: true
  first_start_file:
    description: The configuration of a first start, there only while one is under way.
    type: path
  units:
    description: Units whose state is returned.
    type: list
    elements: str
    default: []
  loaded_files:
    description: Files that C(etcd.service) reads when it starts; one newer than its process makes a restart due.
    type: list
    elements: path
    default: []
  wait_for:
    description:
      - V(member) waits until the member on this host is healthy and fails when it is not in time.
      - V(cluster) waits until any member is healthy, and does not fail.
    type: str
    choices: [nothing, member, cluster]
    default: nothing
  timeout:
    description: Seconds to wait.
    type: int
    default: 60
attributes:
  check_mode:
    description: Runs in check mode, as it changes nothing.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Ask the host and its cluster
  elephant.ha.etcd_info:
    name: etcd-1
    data_directory: /var/lib/etcd/data
    cluster:
      members: [{name: etcd-1, address: 192.0.2.31}]
      ca_file: /etc/elephant/certificates/ca.crt
      certificate_file: /etc/elephant/certificates/etcd-root.crt
      key_file: /etc/elephant/certificates/etcd-root.key
  register: found
"""

RETURN = r"""
name:
  description: The member that was asked about.
  type: str
  returned: always
stamp:
  description: When the host was asked, in its own time; unique enough to name a cluster by.
  type: str
  returned: always
begun:
  description: Whether a first start was begun and not ended.
  type: bool
  returned: always
missing_packages:
  description: Packages that are not installed.
  type: list
  returned: always
version:
  description: Version of the etcd binary; empty where there is none.
  type: str
  returned: always
  sample: 3.5.16
running:
  description: Version that the member on this host answers with; empty where it does not answer.
  type: str
  returned: always
  sample: 3.5.16
stale_files:
  description: Paths of the files that are absent or differ.
  type: list
  returned: always
stale_directories:
  description: Paths of the directories that are absent or differ.
  type: list
  returned: always
data:
  description: V(member) when the data directory holds a member, or one whose first start is under way, else V(empty).
  type: str
  returned: always
units:
  description: For each unit whether it is C(active), C(enabled) and C(masked).
  type: dict
  returned: always
restart_due:
  description: Files and binaries that are newer than the running etcd.
  type: list
  returned: always
health:
  description: For each declared member V(healthy), or why it is not.
  type: dict
  returned: always
cluster_id:
  description: Id of the cluster that answered; empty where none did.
  type: str
  returned: always
members:
  description: Members as the cluster has them, with C(id), C(name), C(address), C(learner) and whether they ever C(started).
  type: list
  returned: always
"""

import pwd
import re
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.etcd import (
    CLUSTER_OPTION,
    HEALTHY,
    Cluster,
    EtcdError,
    journal,
    restart_reasons,
    unit_state,
)

ARGUMENTS = {
    "cluster": CLUSTER_OPTION,
    "name": {"type": "str", "required": True},
    "packages": {"type": "list", "elements": "str", "default": []},
    "files": {"type": "list", "elements": "dict", "default": []},
    "directories": {"type": "list", "elements": "dict", "default": []},
    "data_directory": {"type": "path", "required": True},
    "first_start_file": {"type": "path"},
    "units": {"type": "list", "elements": "str", "default": []},
    "loaded_files": {"type": "list", "elements": "path", "default": []},
    "wait_for": {"type": "str", "choices": ["nothing", "member", "cluster"], "default": "nothing"},
    "timeout": {"type": "int", "default": 60},
}


def missing_packages(names: list[str]) -> list[str]:
    """Those of the packages that dpkg does not call installed."""
    if not names:
        return []
    run = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n", *names], capture_output=True, text=True, check=False
    )
    installed = {line.split()[1] for line in run.stdout.splitlines() if line.startswith("installed ")}
    return [name for name in names if name not in installed]


def version(binaries: Path) -> str:
    """What the etcd binary calls itself, or nothing."""
    if not (binaries / "etcd").is_file():
        return ""
    run = subprocess.run([str(binaries / "etcd"), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"etcd Version: (\S+)", run.stdout)
    return found[1] if found else ""


def _differs(path: Path, owner: str, mode: str) -> bool:
    status = path.stat()
    try:
        return status.st_uid != pwd.getpwnam(owner).pw_uid or status.st_mode & 0o7777 != int(mode, 8)
    except KeyError:
        return True


def stale_files(wanted: list[dict[str, Any]]) -> list[str]:
    """Paths whose content, owner or mode is not the wanted one."""
    return [
        it["path"]
        for it in wanted
        if not Path(it["path"]).is_file()
        or Path(it["path"]).read_text(encoding="utf-8") != it["content"]
        or _differs(Path(it["path"]), "root", it["mode"])
    ]


def stale_directories(wanted: list[dict[str, Any]]) -> list[str]:
    """Directories that are not there as they should be."""
    return [it["path"] for it in wanted if not Path(it["path"]).is_dir() or _differs(Path(it["path"]), it["owner"], it["mode"])]


def unit_summary(unit: str) -> dict[str, bool]:
    """A unit's state in the three words that decide what to do."""
    state = unit_state(unit)
    return {
        # A member that waits for its peers is activating: it needs no start.
        "active": state["ActiveState"] in ("active", "activating", "reloading"),
        "enabled": state["UnitFileState"] == "enabled",
        "masked": state["UnitFileState"].startswith("masked"),
    }


def holds(data_directory: Path, begun: bool) -> str:
    """What a data directory holds. Its log makes a member: a first start that was cut off before it had one left nothing."""
    member = data_directory / "member"
    return "member" if (member / "wal").is_dir() or (begun and member.is_dir()) else "empty"


def ask(cluster: Cluster, name: str, wait_for: str, timeout: float) -> dict[str, Any]:
    """Health of all members and the member list of whichever answers. Raises EtcdError when `wait_for: member` is in vain."""
    if not cluster.has_certificates():
        return {"health": dict.fromkeys(cluster.addresses, "not asked: no certificate yet"), "cluster_id": "", "members": []}
    deadline = time.monotonic() + timeout
    while True:
        health = cluster.health()
        content = {"nothing": True, "member": health.get(name) == HEALTHY, "cluster": HEALTHY in health.values()}[wait_for]
        if content or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    if not content and wait_for == "member":
        raise EtcdError(
            f"Member {name} is not healthy after {timeout:.0f} s: {health.get(name)}. The end of its journal:\n{journal('etcd.service')}"
        )
    endpoints = cluster.endpoints(health)
    cluster_id, members = cluster.members(endpoints) if endpoints and cluster.client else ("", [])
    return {"health": health, "cluster_id": cluster_id, "members": [asdict(it) for it in members]}


def glance(given: dict[str, Any]) -> dict[str, Any]:
    """Look, and ask the cluster. `failed` when what was waited for did not come."""
    cluster = Cluster(given["cluster"])
    begun = bool(given["first_start_file"]) and Path(given["first_start_file"]).is_file()
    try:
        return {
            "name": given["name"],
            "stamp": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
            "begun": begun,
            "missing_packages": missing_packages(given["packages"]),
            "version": version(cluster.binaries),
            "running": cluster.running_version(given["name"]),
            "stale_files": stale_files(given["files"]),
            "stale_directories": stale_directories(given["directories"]),
            "data": holds(Path(given["data_directory"]), begun),
            "units": {unit: unit_summary(unit) for unit in given["units"]},
            "restart_due": restart_reasons("etcd.service", given["loaded_files"], cluster.binaries / "etcd"),
            **ask(cluster, given["name"], given["wait_for"], given["timeout"]),
        }
    except EtcdError as error:
        return {"failed": True, "msg": str(error)}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    found = glance(module.params)
    if found.get("failed"):
        module.fail_json(**found)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
