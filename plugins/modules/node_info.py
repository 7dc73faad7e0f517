#!/usr/bin/python
# Copyright: (c) 2026, The Elephant authors
# SPDX-License-Identifier: Apache-2.0
"""Everything about a host that the role node decides on, in one look."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: Everything about a host that the role node decides on, in one look
description:
  - Waits for cloud-init where there is one, then reads packages, the age of the package index, kernel settings, swap, time keeping, SSH and
    how neighbours are found gone.
  - A kernel setting that cannot be written here, as in a container, is not reported at all, so that nobody tries.
version_added: 0.1.0
author: The Elephant authors (@elephant)
options:
  packages:
    description: Packages to look for.
    type: list
    elements: str
    default: []
  sysctl:
    description: Kernel settings to read.
    type: list
    elements: str
    default: []
  cloud_init_timeout:
    description: Seconds to wait for cloud-init.
    type: int
    default: 300
  ssh_file:
    description: The file that forbids passwords to the SSH server; without it, the server is not asked.
    type: str
    default: ""
  time_file:
    description: The file that names time servers to chrony.
    type: str
    default: ""
  address:
    description: The host's own address, for the times of the interface that has it; without it, no interface is looked at.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It changes nothing.
"""

EXAMPLES = r"""
- name: The host is known
  elephant.ha.node_info:
    packages: [chrony]
    sysctl: [vm.swappiness]
  register: node
"""

RETURN = r"""
missing_packages:
  description: Those of O(packages) that are not installed.
  type: list
  elements: str
  returned: always
index_age_minutes:
  description: Minutes since the package index was fetched; a million if it never was.
  type: int
  returned: always
sysctl:
  description: Values of those of O(sysctl) that can be written.
  type: dict
  returned: always
memory_mib:
  description: Memory of the host.
  type: int
  returned: always
swap_mib:
  description: Active swap.
  type: int
  returned: always
swap_files:
  description: Files that are active swap, and those that C(/etc/fstab) names as swap.
  type: list
  elements: str
  returned: always
swap_mounts:
  description: Lines of C(/etc/fstab) that bring swap with the next boot.
  type: list
  elements: str
  returned: always
container:
  description: Whether the kernel belongs to somebody else.
  type: bool
  returned: always
sets_clock:
  description: Whether the clock may be set here (CAP_SYS_TIME).
  type: bool
  returned: always
time_service:
  description: States of C(chrony.service), as systemctl says them.
  type: dict
  returned: always
  sample: {active: active, enabled: enabled}
time_unread:
  description: Whether O(time_file) is newer than the process of chrony, which read its files when it started.
  type: bool
  returned: always
ssh_unread:
  description: Whether O(ssh_file) is newer than the SSH server's last start or reload.
  type: bool
  returned: always
ssh_passwords:
  description:
    - What the SSH server says of its configuration that would let somebody in with a password, in general or as root.
    - A C(Match) block for others is a decision about them, and is not looked for.
  type: list
  elements: str
  returned: always
  sample: [passwordauthentication yes]
neighbours:
  description:
    - How the kernel finds out that a neighbour is gone, on the interface with O(address); milliseconds.
    - C(reachable) is believed without a question, C(delay) waits for a sign of life before one is asked, C(repeat) asks again.
  type: dict
  returned: always
  sample: {reachable: 30000, delay: 5000, repeat: 1000, service: enabled}
ufw_active:
  description: Whether ufw filters, or would after a boot.
  type: bool
  returned: always
"""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils import units

ARGUMENTS = {
    "packages": {"type": "list", "elements": "str", "default": []},
    "sysctl": {"type": "list", "elements": "str", "default": []},
    "cloud_init_timeout": {"type": "int", "default": 300},
    "ssh_file": {"type": "str", "default": ""},
    "time_file": {"type": "str", "default": ""},
    "address": {"type": "str", "default": ""},
}
ROOT = Path("/")
LISTS = ROOT / "var/lib/apt/lists"
SSHD = "/usr/sbin/sshd"
WITH_PASSWORDS = ("passwordauthentication yes", "kbdinteractiveauthentication yes")
NEIGHBOURS = "elephant-neighbours.service"
CAP_SYS_TIME = 25  # linux/capability.h
NEVER = 1_000_000


def run(*command: str) -> tuple[int, str]:
    """Exit code and what was printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def missing_packages(wanted: list[str]) -> list[str]:
    """Those that dpkg does not call installed."""
    if not wanted:
        return []
    _status, out = run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted)
    installed = {line.split()[0] for line in out.splitlines() if line.endswith(" installed")}
    return sorted(set(wanted) - installed)


def index_age_minutes() -> int:
    """By the folder that apt downloads into: it is touched by every update, also by one that finds nothing new.

    The lists carry the server's times, and their own folder is not touched by an update without news.
    """
    partial = LISTS / "partial"
    if not partial.exists() or not next(LISTS.glob("*_Packages*"), None):
        return NEVER
    return int((time.time() - partial.stat().st_mtime) / 60)


def writable_sysctl(keys: list[str]) -> dict[str, str]:
    """Values, with single blanks, of those that this host may set."""
    found = {}
    for key in keys:
        path = ROOT / "proc/sys" / key.replace(".", "/")
        try:
            # Opening asks the kernel; nothing is written.
            with path.open("r+b", buffering=0) as file:
                found[key] = " ".join(file.read().decode().split())
        except OSError:
            continue
    return found


def swap() -> tuple[int, list[str]]:
    """MiB that are active, and the files: of what is active, and of fstab, where a run was cut off between switching off and removing."""
    rows = [line.split() for line in (ROOT / "proc/swaps").read_text().splitlines()[1:]]
    named = [line.split()[0] for line in swap_mounts()]
    files = [row[0] for row in rows if row[1] == "file"] + [it for it in named if it.startswith("/") and (ROOT / it[1:]).is_file()]
    return sum(int(row[2]) for row in rows) // 1024, list(dict.fromkeys(files))


def swap_mounts() -> list[str]:
    """Lines of fstab with the type swap."""
    table = ROOT / "etc/fstab"
    lines = table.read_text().splitlines() if table.exists() else []
    return [line for line in lines if not line.lstrip().startswith("#") and line.split()[2:3] == ["swap"]]


def memory_mib() -> int:
    """MemTotal."""
    return int((ROOT / "proc/meminfo").read_text().split()[1]) // 1024


def sets_clock() -> bool:
    """Whether init's bounding set holds CAP_SYS_TIME: without it chrony's unit is skipped, not failed."""
    bounding = next(line for line in (ROOT / "proc/1/status").read_text().splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounding.split()[1], 16) >> CAP_SYS_TIME & 1)


def ufw_active() -> bool:
    """From its own configuration: asking the program needs its kernel modules."""
    settings = ROOT / "etc/ufw/ufw.conf"
    return bool(shutil.which("ufw")) and settings.exists() and "ENABLED=yes" in settings.read_text()


def wait_for_cloud_init(seconds: int) -> tuple[str, list[str]]:
    """Its late steps change what this role changes, and hold the lock of dpkg. Answers what to refuse, and what to warn of."""
    if not shutil.which("cloud-init"):
        return "", []
    status, out = run("timeout", str(seconds), "cloud-init", "status", "--wait")
    log = f"({out.strip()}); see /var/log/cloud-init-output.log on the host."
    if status == 124:
        return f"cloud-init is not done after {seconds} s {log}", []
    return "", [f"cloud-init did not end well {log}"] if status == 1 else []


def time_keeping(file: str) -> dict[str, Any]:
    """chrony's unit in systemctl's words, and whether its process is older than the file."""
    now = units.state("chrony.service")
    active = now.get("ActiveState", "")
    unread = units.newer([file], units.moment(now["ExecMainStartTimestampMonotonic"])) if file and active == "active" else []
    return {"time_service": {"active": active, "enabled": now.get("UnitFileState", "")}, "time_unread": bool(unread)}


def ssh_passwords() -> list[str]:
    """What of the configuration on the disk lets passwords in, in sshd's own words. One that cannot be read lets nobody in."""
    if not (ROOT / SSHD[1:]).exists():
        return []
    said = [run(SSHD, "-T")[1], run(SSHD, "-T", "-C", "user=root,host=localhost,addr=127.0.0.1")[1]]
    return [line for line in WITH_PASSWORDS if any(line in it.splitlines() for it in said)]


def interface(address: str) -> str:
    """The one with this address; empty where there is none."""
    words = run("ip", "-oneline", "address", "show", "to", address)[1].split()
    return words[1] if len(words) > 1 else ""


def neighbours(address: str, device: str) -> dict[str, Any]:
    """Times of this interface, in milliseconds, and whether their unit comes with a boot."""
    folder = ROOT / "proc/sys/net" / ("ipv6" if ":" in address else "ipv4") / "neigh" / device
    files = {"reachable": ("base_reachable_time_ms", 1), "delay": ("delay_first_probe_time", 1000), "repeat": ("retrans_time_ms", 1)}
    found = {name: int((folder / file).read_text()) * unit for name, (file, unit) in files.items()}
    return found | {"service": units.state(NEIGHBOURS).get("UnitFileState", "")}


def glance(asked: dict[str, Any]) -> dict[str, Any]:
    """Wait for cloud-init, then look. `failed` when it does not come to an end, or no interface has the address."""
    refusal, warnings = wait_for_cloud_init(asked["cloud_init_timeout"])
    if refusal:
        return {"failed": True, "msg": refusal}
    device = interface(asked["address"]) if asked["address"] else ""
    if asked["address"] and not device:
        return {"failed": True, "msg": f"No interface of this host has {asked['address']}: correct node_address, or attach the network."}
    swap_mib, swap_files = swap()
    return {
        "missing_packages": missing_packages(asked["packages"]),
        "index_age_minutes": index_age_minutes(),
        "sysctl": writable_sysctl(asked["sysctl"]),
        "memory_mib": memory_mib(),
        "swap_mib": swap_mib,
        "swap_files": swap_files,
        "swap_mounts": swap_mounts(),
        "container": run("systemd-detect-virt", "--quiet", "--container")[0] == 0,
        "sets_clock": sets_clock(),
        **time_keeping(asked["time_file"]),
        "ssh_unread": bool(asked["ssh_file"] and units.reload_due(units.state("ssh.service"), [asked["ssh_file"]])),
        "ssh_passwords": ssh_passwords() if asked["ssh_file"] else [],
        "neighbours": neighbours(asked["address"], device) if device else {},
        "ufw_active": ufw_active(),
        "warnings": warnings,
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    found = glance(module.params)
    if found.get("failed"):
        module.fail_json(**found)
    for warning in found.pop("warnings"):
        module.warn(warning)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
