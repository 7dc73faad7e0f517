"""The backups' part of `make bench`: how fast they are, against what the same bytes cost at least, and what clients notice of them."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from local import environment, reach, tools
from local.paths import CHECKOUT, Cluster
from local.say import Refusal

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
_PROGRAM = CHECKOUT / "local/bench_host.py"
# How long each load lasts.
_SECONDS = 60
_MIB = 2**20


@dataclass(frozen=True)
class Host:
    """A database host of the bench's cluster, which answers measures of local/bench_host.py."""

    ssh: list[str]
    env: Mapping[str, str]

    def measure(self, name: str, *numbers: object) -> dict:
        """What the measure found. Raises Refusal with what the host said."""
        done = self.run(" ".join(["python3", "-", name, *map(str, numbers)]), _PROGRAM.read_text())
        if done.returncode != 0:
            raise Refusal(f"The measure {name} failed: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def leads(self) -> bool:
        """Whether its server may write."""
        return self.run("cd /tmp && runuser -u postgres -- psql -XAtc 'SELECT pg_is_in_recovery()'").stdout.strip() == "f"

    def run(self, command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """A command of the host's shell, with this on its standard input."""
        return subprocess.run([*self.ssh, command], input=given, capture_output=True, text=True, env=dict(self.env), check=False)


def figures(cluster: Cluster, megabytes: int) -> None:
    """Fill the cluster with so many megabytes, measure, and print a line for each figure."""
    leader, standby = _hosts(cluster)
    filled = leader.measure("fill", megabytes)
    processors, size = filled["processors"], filled["size"]
    print(f"\n## Backups of {size / 2**30:.2f} GiB; {processors} processors for all hosts and the storage together", flush=True)
    _say("caches of this machine are dropped before each backup, restore and floor", "yes" if cold() else "NO, not allowed here")
    _backups(standby, processors, size)
    _restore(standby, processors)
    _say("archived while the data was written", *archived(filled))
    loaded = leader.measure("full_speed", _SECONDS)
    _say(f"archived under pgbench at full speed, {loaded['rate']:.0f} transactions/s", *archived(loaded))
    _noticed(leader, standby, max(1, round(loaded["rate"] / 2)))


def _backups(standby: Host, processors: int, size: int) -> None:
    took = []
    for processes in sorted({1, processors}):
        cold()
        took.append(standby.measure("backup", processes))
        _say(f"full backup from the standby, processes: {processes}", speed(took[-1]["seconds"], size), peak(took[-1]))
    if len(took) > 1:
        _say(f"{processors} processes against one", f"{took[0]['seconds'] / took[-1]['seconds']:.2f} times as fast")


def _restore(standby: Host, processors: int) -> None:
    cold()
    restored = standby.measure("restore", processors)
    took = speed(restored["seconds"], restored["size"])
    _say(f"restore of the newest, processes: {processors}, fsync included", took, peak(restored))
    packed = standby.measure("pack", processors)
    cold()
    least = standby.measure("floor", processors)["seconds"]
    what = f"its floor: the same bytes, packed to {packed['packed'] / packed['size']:.0%}, from this disk through openssl, zstd and tar"
    _say(f"{what}, {processors} of each at once, fsync included", speed(least, packed["size"]))
    _say("floor / restore (1 were the floor itself)", f"{least / restored['seconds']:.2f}")


def _noticed(leader: Host, standby: Host, rate: int) -> None:
    began = time.time()
    quiet = leader.measure("latency", _SECONDS, rate)
    without = leader.measure("commits", began, time.time())
    with ThreadPoolExecutor() as pool:
        load = pool.submit(leader.measure, "latency", _SECONDS, rate)
        # Not before the load is there.
        time.sleep(5)
        took = standby.measure("scheduled")
        busy = load.result()
    during = leader.measure("commits", took["began"], took["ended"])
    _say(f"p99 of a commit under pgbench at {rate} transactions/s, the half of that", milliseconds(without))
    times = f"{during['p99'] / without['p99']:.2f} times as long"
    _say(f"the same while the schedule's unit takes a full backup ({took['seconds']:.0f} s)", milliseconds(during), times, peak(took))
    looks, synchronous = (quiet[it] + busy[it] for it in ("looks", "synchronous"))
    _say("the standby was synchronous, looked at four times a second in both", f"{synchronous} of {looks} looks")


def cold() -> bool:
    """Nothing that was read or written is in memory any more, of host or storage; False where this machine does not let us."""
    os.sync()
    try:
        _DROP_CACHES.write_text("1")
    except OSError:
        return False
    return True


def archived(found: dict) -> tuple[str, str]:
    """Segments by second, and what was late at the end."""
    throughput = f"{found['segments'] / found['seconds']:.2f} segments/s for {found['seconds']:.0f} s"
    return throughput, f"{found['waiting']} waited at the end, the last for {found['drained']:.1f} s"


def speed(seconds: float, size: int) -> str:
    """How long so many bytes took, and how many of them were done by second."""
    return f"{seconds:.1f} s, {size / _MIB / seconds:.0f} MiB/s"


def peak(took: dict) -> str:
    """The most memory at any time."""
    return f"pgBackRest's processes there held at most {took['memory'] / _MIB:.0f} MiB"


def milliseconds(found: dict) -> str:
    """A quantile, and of how many it is one."""
    return f"{found['p99'] * 1000:.1f} ms of {found['commits']} commits"


def _hosts(cluster: Cluster) -> tuple[Host, Host]:
    """The leader and its standby."""
    env = environment.clients(cluster, [tools.ansible()])
    listed = reach.inventory(cluster, env)
    hosts = [Host(reach.ssh_words(cluster, listed["vars"][name]), env) for name in sorted(listed["groups"]["postgresql"])]
    leaders = [it for it in hosts if it.leads()]
    if len(leaders) != 1 or len(hosts) != 2:
        raise Refusal(f"Of {len(hosts)} database hosts {len(leaders)} lead; the figures are of one leader and one standby.")
    return leaders[0], next(it for it in hosts if it is not leaders[0])


def _say(what: str, *figures: str) -> None:
    print(f"{what}: {'; '.join(figures)}", flush=True)
