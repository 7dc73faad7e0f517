#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""What PostgreSQL is sized from, and what of it is there, in one visit."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_host_info
short_description: Memory, processors, disk and packages of a database host
version_added: 0.1.0
description:
  - Reads what the role C(postgresql) needs to know before it acts. Changes nothing.
  - A container's own memory limit counts where it is lower than the machine's memory.
options:
  packages:
    description: Packages that the role needs.
    type: list
    elements: str
    required: true
  data_directory:
    description: PostgreSQL's data directory, which need not exist yet.
    type: path
    required: true
  paths:
    description: Other paths whose presence is asked for.
    type: list
    elements: path
    default: []
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
- name: What the host has
  elephant.ha.postgresql_host_info:
    packages: [postgresql-17]
    data_directory: /var/lib/postgresql/17/main
  register: found
"""

RETURN = r"""
memory_mb:
  description: Memory that PostgreSQL can count on, in MiB.
  returned: always
  type: int
disk_mb:
  description: Size of the filesystem that holds the data directory, in MiB.
  returned: always
  type: int
codename:
  description: Name of the host's release, as in C(trixie).
  returned: always
  type: str
mount:
  description: Whether the data directory is the root of a mount and has no database.
  returned: always
  type: bool
unfit:
  description: Whether the data directory is there with an owner or a mode with which PostgreSQL refuses to start.
  returned: always
  type: bool
"""

import os
import platform
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ARGUMENTS = {
    "packages": {"type": "list", "elements": "str", "required": True},
    "data_directory": {"type": "path", "required": True},
    "paths": {"type": "list", "elements": "path", "default": []},
}
# The limit of the container's own control group: version 2, then version 1.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_mb(meminfo: str, limits: list[str]) -> int:
    """MiB from the text of /proc/meminfo and the texts of the limits ("max", or bytes)."""
    total = next(int(line.split()[1]) // 1024 for line in meminfo.splitlines() if line.startswith("MemTotal:"))
    return min([total, *(int(limit) // 1048576 for limit in limits if limit.strip().isdigit())])


def installed(names: list[str]) -> dict[str, str]:
    """The installed ones of these packages with their versions."""
    run = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package} ${Version}\n", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = (line.split() for line in run.stdout.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def known(names: list[str]) -> list[str]:
    """Those of these packages that apt could install."""
    run = subprocess.run(["apt-cache", "policy", *names], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    found, name = [], ""
    for line in run.stdout.splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found.append(name)
    return found


def unfit(path: Path) -> bool:
    """Whether PostgreSQL would refuse to start in this data directory: it is another's, or open to more than a group that reads."""
    found = path.stat()
    return found.st_uid != pwd.getpwnam("postgres").pw_uid or bool(found.st_mode & 0o027)


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return path if path.exists() else existing(path.parent)


def glance(asked: dict[str, Any]) -> dict[str, Any]:
    """Gather."""
    there = installed(asked["packages"])
    missing = [name for name in asked["packages"] if name not in there]
    data = Path(asked["data_directory"])
    return {
        "packages": there,
        "missing": missing,
        "unknown": sorted(set(missing) - set(known(missing))) if missing else [],
        "memory_mb": memory_mb(Path("/proc/meminfo").read_text(), [Path(it).read_text() for it in LIMITS if Path(it).exists()]),
        "processors": len(os.sched_getaffinity(0)),
        "disk_mb": shutil.disk_usage(existing(data)).total // 1048576,
        "absent": [it for it in [asked["data_directory"], *asked["paths"]] if not Path(it).exists()],
        "codename": platform.freedesktop_os_release().get("VERSION_CODENAME", ""),
        "mount": data.is_mount() and not (data / "PG_VERSION").exists(),
        "unfit": not missing and data.exists() and unfit(data),
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.exit_json(changed=False, **glance(module.params))


if __name__ == "__main__":
    main()
