"""`make bench`: the figures that the documents quote. It prints, and asserts nothing."""

import os
import subprocess
import tempfile
from pathlib import Path

from local import bench_backup, engine, vultr_process
from local.down import down
from local.paths import CHECKOUT, Cluster
from local.say import Refusal
from local.up import up
from local.vultr.engine import LABEL

CLUSTER = Cluster("local-bench")
_COLD_IMAGE = "elephant-node:bench"
_PARTS = ("deploy", "backup")
# Of data in the database whose backups are measured: more than fits into the caches of PostgreSQL and pgBackRest.
_MEGABYTES = 2048
_TABLE = {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks", "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "12"}


def bench(part: str = "", megabytes: str = "") -> None:
    """Cold make up in a cache of its own, then warm, then again with nothing to do; the slowest tasks; the local Vultr's memory; backups.

    `part` names one of deploy and backup when not both are wanted, `megabytes` the size of the database whose backups are measured.
    """
    if part not in ("", *_PARTS) or not (megabytes or "1").isdigit() or megabytes == "0":
        raise Refusal(f"PART={part} MEGABYTES={megabytes} cannot be measured: PART is {' or '.join(_PARTS)}, MEGABYTES a number from 1.")
    _refuse_another()
    with tempfile.TemporaryDirectory(prefix="elephant-") as folder:
        os.environ["ELEPHANT_HOME"] = f"{folder}/home"
        if part != "backup":
            _deploy(Path(folder))
        if part != "deploy":
            _backup(int(megabytes or _MEGABYTES))


def _deploy(folder: Path) -> None:
    try:
        _cold(folder)
        _warm("make up, warm cache, blank hosts")
        _warm("make up again, nothing to do")
        peak = vultr_process.peak_memory(CLUSTER)
        print(f"\n## Peak memory of the local Vultr\n{peak / 2**20:.0f} MiB" if peak else "The local Vultr is gone.")
    finally:
        down(CLUSTER)


def _backup(megabytes: int) -> None:
    with bench_backup.storage_in_memory(CLUSTER, megabytes) as in_memory:
        try:
            _warm("make up, for its backups")
            bench_backup.figures(CLUSTER, megabytes, in_memory=in_memory)
        finally:
            down(CLUSTER)


def _refuse_another() -> None:
    """Raises Refusal when there is a cluster of this name, which the bench would remove at its end."""
    if engine.provide().containers.list(all=True, filters={"label": f"{LABEL}={CLUSTER.name}"}):
        raise Refusal(f"Another make bench is at work, or one was killed: make down CLUSTER={CLUSTER.name} removes what it left.")


def _cold(folder: Path) -> None:
    print("## make up, nothing in the cache (Debian packages apart)", flush=True)
    env = {**os.environ, "CLUSTER": CLUSTER.name, "ELEPHANT_CACHE": f"{folder}/cache", "ELEPHANT_IMAGE": _COLD_IMAGE}
    try:
        for verb in ("up", "down"):
            subprocess.run(["make", "--no-print-directory", verb], cwd=CHECKOUT, env=env, check=True, stdin=subprocess.DEVNULL)
    finally:
        engine.client().images.remove(_COLD_IMAGE, force=True)


def _warm(title: str) -> None:
    seconds: dict[str, float] = {}
    print(f"\n## {title}", flush=True)
    watch = up(CLUSTER, seconds, also=_TABLE)
    for name, value in {**seconds, **{f"  {play}": took for play, took in watch.plays.items()}}.items():
        print(f"{value:7.1f} s  {name}")
    print(f"changed: {sum(watch.changed.values())}")
    log = (CLUSTER.log / "ha.log").read_text()
    print(log[log.rfind("====") :].partition("\n")[2].rstrip())
