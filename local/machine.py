"""Whether this machine can carry a cluster: judged before anything is made."""

import contextlib
import os
import shutil
import stat
from pathlib import Path

from local import vultr_process
from local.paths import CHECKOUT, Cluster, cache, home
from local.say import Refusal

# Five hosts hold about 1.2 GB while they install and 0.8 GB after; the rest is tofu, Ansible and the local Vultr.
_MEMORY_GIB = 3.0
# The image, five writable layers, the venvs and, while it is built, tofu.
_DISK_GIB = {"cluster": 4.0, "cache": 6.0}
# systemd and its services watch files: about six instances of inotify a host, and a host that gets none does not boot.
_INOTIFY_INSTANCES = 30


def judge(cluster: Cluster) -> None:
    """Raises Refusal with the first reason why `make up` cannot work here."""
    refuse_a_world_writable_checkout(CHECKOUT)
    if vultr_process.running(cluster) is not None:
        return
    refuse_too_little_memory(available_memory())
    refuse_too_few_inotify_instances(inotify_limit(), inotify_instances())
    for name, folder in (("cluster", home()), ("cache", cache())):
        refuse_too_little_disk(folder, _DISK_GIB[name] if name == "cluster" or not (cache() / "bin/tofu").exists() else 1.0)
    vultr_process.refuse_a_taken_port(cluster)


def refuse_a_world_writable_checkout(checkout: Path) -> None:
    """Ansible ignores the ansible.cfg of a folder that anybody may write to, and would run with other settings than these."""
    if checkout.stat().st_mode & stat.S_IWOTH:
        raise Refusal(
            f"{checkout} is writable by everybody, and Ansible ignores an ansible.cfg that lies in such a folder: chmod o-w {checkout}"
        )


def refuse_too_little_memory(available: int) -> None:
    """`available` in bytes."""
    if available < _MEMORY_GIB * 2**30:
        raise Refusal(
            f"{available / 2**30:.1f} GiB of memory are free, and five hosts with their installation need {_MEMORY_GIB:.0f} GiB: "
            "close something, or use a machine with more."
        )


def refuse_too_little_disk(folder: Path, gib: float) -> None:
    """`folder` need not exist yet: its nearest parent that does is judged."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < gib * 2**30:
        raise Refusal(f"{free / 2**30:.1f} GiB are free on the disk of {folder}, and {gib:.0f} GiB are needed: make room there.")


def refuse_too_few_inotify_instances(limit: int, used: int) -> None:
    """`limit` is the kernel's for each user; `used` are those that root's processes have, which those of containers are too."""
    if limit - used < _INOTIFY_INSTANCES:
        raise Refusal(
            f"{used} of {limit} inotify instances are in use, and five hosts need {_INOTIFY_INSTANCES}, without which they do not boot: "
            f"sysctl -w fs.inotify.max_user_instances={max(1024, 2 * limit)}"
        )


def inotify_limit() -> int:
    """fs.inotify.max_user_instances, see inotify(7)."""
    return int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())


def inotify_instances(processes: str = "[0-9]*") -> int:
    """How many of them root's processes hold, containers' included, as far as they may be seen; `processes` is a pattern of ids."""
    found = 0
    for process in Path("/proc").glob(processes):
        for descriptor in _descriptors(process):
            # It may be closed meanwhile.
            with contextlib.suppress(OSError):
                found += str(descriptor.readlink()) == "anon_inode:inotify"
    return found


def _descriptors(process: Path) -> list[Path]:
    """None of a process that has ended, that may not be looked at, or that is not root's: the kernel counts for each user."""
    try:
        return list((process / "fd").iterdir()) if process.stat().st_uid == 0 else []
    except OSError:
        return []


def available_memory() -> int:
    """What could be given to new processes without swapping, in bytes (MemAvailable of proc_meminfo(5))."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
