# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Does a running systemd unit know what is on the disk? Standard library only: it runs on the hosts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "StateChangeTimestampMonotonic",
    "ExecMainStartTimestampMonotonic",
)


# A service that tells systemd itself what it does (Type=notify) runs in these states too, until it says that it has reloaded.
RUNNING = ("active", "reloading", "refreshing")


def state(unit: str) -> dict[str, str]:
    """systemd's own words about the unit, whatever runs being `active`; empty where there is no systemd."""
    try:
        shown = subprocess.run(["systemctl", "show", unit, "--property", ",".join(PROPERTIES)], capture_output=True, text=True, check=False)
    except OSError:
        return {}
    found = dict(row.split("=", 1) for row in shown.stdout.splitlines() if "=" in row)
    return found | ({"ActiveState": "active"} if found.get("ActiveState") in RUNNING else {})


def moment(microseconds: str) -> float:
    """The wall clock's time, in seconds, of a moment that systemd gives in microseconds of CLOCK_MONOTONIC."""
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + int(microseconds or 0) / 1e6


def newer(paths: Iterable[str], since: float) -> list[str]:
    """Those of these files and folders that were changed after `since`. What lies in the future says nothing: somebody moved the clock."""
    now = time.time()
    found = [path for path in paths if Path(path).exists()]
    return [path for path in found if since < Path(path).stat().st_mtime <= now]


def package_marks(names: Iterable[str]) -> list[str]:
    """dpkg's file lists of these packages, written anew at each install and upgrade (the files themselves keep their packagers' dates)."""
    folder = Path("/var/lib/dpkg/info")
    return sorted(str(it) for name in names for it in [*folder.glob(f"{name}.list"), *folder.glob(f"{name}:*.list")])


def reload_due(now: dict[str, str], paths: Iterable[str]) -> list[str]:
    """What an active unit has not read: changed after it last started or reloaded, which are the changes of its state."""
    if now.get("ActiveState") != "active":
        return []
    return newer(paths, moment(now["StateChangeTimestampMonotonic"]))


def restart_due(now: dict[str, str], paths: Iterable[str]) -> list[str]:
    """Why an active unit does not run with what is on the disk: files newer than its process, or a unit file that systemd has not read."""
    if now.get("ActiveState") != "active":
        return []
    unread = ["the unit"] if now.get("NeedDaemonReload") == "yes" else []
    return unread + newer(paths, moment(now["ExecMainStartTimestampMonotonic"]))
