"""Ending a playbook as a power cut of the controller would end it."""

import contextlib
import os
import signal
import subprocess


def family(process: int) -> list[int]:
    """The process and all that descend from it: each of Ansible's workers leads a session of its own, so no group has them all."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout.splitlines()
    pairs = [(int(pid), int(parent)) for pid, parent in map(str.split, listed)]
    found = [process]
    for one in found:
        found += [pid for pid, parent in pairs if parent == one]
    return found


def kill_family(process: int) -> None:
    """Kill it with its workers, so that nothing of it gets a word in. One that ended meanwhile is no matter."""
    for one in family(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
