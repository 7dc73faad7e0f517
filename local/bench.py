"""`make bench`: the figures that the documents quote. It prints, and asserts nothing."""

import os
import subprocess
import tempfile
from pathlib import Path

from local import engine, vultr_process
from local.down import down
from local.paths import CHECKOUT, Cluster
from local.up import up

CLUSTER = Cluster("local-bench")
_COLD_IMAGE = "elephant-node:bench"
_TABLE = {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks", "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "12"}


def bench() -> None:
    """Cold make up in a cache of its own, then warm, then again with nothing to do; the slowest tasks; the local Vultr's memory."""
    with tempfile.TemporaryDirectory(prefix="elephant-") as folder:
        os.environ["ELEPHANT_HOME"] = f"{folder}/home"
        try:
            _cold(Path(folder))
            _warm("make up, warm cache, blank hosts")
            _warm("make up again, nothing to do")
            peak = vultr_process.peak_memory(CLUSTER)
            print(f"\n## Peak memory of the local Vultr\n{peak / 2**20:.0f} MiB" if peak else "The local Vultr is gone.")
        finally:
            down(CLUSTER)


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
