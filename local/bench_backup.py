"""The backups' part of `make bench`: how fast they are, against what the same bytes cost at least, and what clients notice of them."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from local import engine, environment, reach, tools
from local.paths import CHECKOUT, Cluster
from local.say import Refusal
from local.vultr.engine import LABEL, labels

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
_MEMORY = Path("/dev/shm")
# What archive and backups of the measures come to, as a multiple of the database.
_REPOSITORY = 8
_PROGRAM = CHECKOUT / "local/bench_host.py"
# That of the emulated storage, local/vultr/storage.py.
_VOLUME = "elephant-{cluster}-storage-ams1"
# How long each load lasts.
_SECONDS = 60
# Until a load counts: its sessions connect first.
_LEAD = 5
# One minute's p99 differs more from the next one's than a backup makes it differ, so there are several, and their medians.
_ROUNDS = 5
_MIB = 2**20
# Of a processor, as docker-run(1) counts: what every container has unless told otherwise, and the least there is.
_SHARES, _LEAST = 1024, 2


@dataclass(frozen=True)
class Host:
    """A database host of the bench's cluster, which answers measures of local/bench_host.py."""

    name: str
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


def figures(cluster: Cluster, megabytes: int, *, in_memory: bool) -> None:
    """Fill the cluster with so many megabytes, measure, and print a line for each figure."""
    leader, standby = _hosts(cluster)
    filled = leader.measure("fill", megabytes)
    processors, size = filled["processors"], filled["size"]
    print(f"\n## Backups of {size / 2**30:.2f} GiB; {processors} processors for all hosts and the storage together", flush=True)
    _say("the storage keeps its data in memory, not on the disk of the hosts", "yes" if in_memory else "NO, too little of it is free")
    _say("caches of this machine are dropped before each backup, restore and floor", "yes" if cold() else "NO, not allowed here")
    _say("archived while the data was written", *archived(filled))
    _backups(standby, processors, size)
    with _apart(cluster, standby) as own:
        print(f"\n## The standby alone on {own} of the processors, everybody else on the others", flush=True)
        _restore(standby, own)
    with _apart(cluster, leader) as own:
        print(f"\n## The leader and pgbench alone on {own} of the processors, everybody else on the others", flush=True)
        loaded = leader.measure("full_speed", _SECONDS)
        _say(f"archived under pgbench at full speed, {loaded['rate']:.0f} transactions/s", *archived(loaded))
        _noticed(leader, standby, max(1, round(loaded["rate"] / 2)))


@contextmanager
def storage_in_memory(cluster: Cluster, megabytes: int) -> Iterator[bool]:
    """The storage of a cluster that is yet to be made keeps its data in memory, as if on disks of its own; False without room for it."""
    if available(Path("/proc/meminfo").read_text()) < _REPOSITORY * megabytes * _MIB:
        yield False
        return
    with TemporaryDirectory(prefix="elephant-bench-", dir=_MEMORY) as folder:
        where = {"type": "none", "o": "bind", "device": folder}
        engine.client().volumes.create(_VOLUME.format(cluster=cluster.name), driver_opts=where, labels=labels(cluster.name))
        yield True


@contextmanager
def _apart(cluster: Cluster, host: Host) -> Iterator[int]:
    """This host has half of the processors for itself, as a machine of its own would; so many. With a single one all share it.

    The storage, which is nobody's neighbour elsewhere, takes of a processor only what no host wants.
    """
    own, others = halves(os.cpu_count() or 1)
    containers = engine.client().containers.list(filters={"label": f"{LABEL}={cluster.name}"})
    for it in containers:
        shares = _LEAST if it.labels.get("elephant.kind") == "storage" else _SHARES
        it.update(cpuset_cpus=own if it.labels.get("elephant.label") == host.name else others, cpu_shares=shares)
    try:
        yield len(own.split(","))
    finally:
        for it in containers:
            it.update(cpuset_cpus=f"0-{(os.cpu_count() or 1) - 1}", cpu_shares=_SHARES)


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
    rounds = [_round(leader, standby, rate) for _ in range(_ROUNDS)]
    _say(f"under pgbench at {rate} transactions/s, the half of that, one minute without and one with a backup, so many times", str(_ROUNDS))
    kinds = {"itself": "p99 of a commit", "due": "p99 of a commit since it was due, its session's other transactions included"}
    for key, what in kinds.items():
        without, during = ([it[kind][key] for it in rounds] for kind in ("without", "during"))
        _say(what, milliseconds(without))
        times = f"{median(during) / median(without):.2f} times as long"
        _say("the same while the schedule's unit takes a full backup", milliseconds(during), times)
    longest = max((it["took"] for it in rounds), key=lambda it: it["seconds"])
    _say("the longest of these backups", f"{longest['seconds']:.0f} s", peak(longest))
    looks, synchronous = (sum(it[key] for it in rounds) for key in ("looks", "synchronous"))
    _say("the standby was synchronous, looked at four times a second in all of them", f"{synchronous} of {looks} looks")


def _round(leader: Host, standby: Host, rate: int) -> dict:
    """A minute without a backup, then one with: what commits took in each, and the standby's looks of both."""
    leader.measure("settle")
    began = time.time()
    quiet = leader.measure("latency", _SECONDS, rate)
    without = leader.measure("commits", began + _LEAD, time.time())
    leader.measure("settle")
    with ThreadPoolExecutor() as pool:
        load = pool.submit(leader.measure, "latency", _SECONDS, rate)
        # Not before the load is there.
        time.sleep(_LEAD)
        took = standby.measure("scheduled")
        busy = load.result()
    during = leader.measure("commits", took["began"], took["ended"])
    looks = {key: quiet[key] + busy[key] for key in ("looks", "synchronous")}
    return {"without": without, "during": during, "took": took, **looks}


def halves(processors: int) -> tuple[str, str]:
    """Their numbers in two halves, as cpuset(7) takes them; the same one twice where there is only one."""
    numbers = [str(it) for it in range(processors)]
    half = max(1, processors // 2)
    return ",".join(numbers[:half]), ",".join(numbers[half:] or numbers)


def available(meminfo: str) -> int:
    """Bytes of memory that programs can have, of proc_meminfo(5)."""
    return next(int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemAvailable:"))


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


def milliseconds(found: list[float]) -> str:
    """The median of some figures in seconds, and how far apart they are."""
    low, middle, high = (it * 1000 for it in (min(found), median(found), max(found)))
    return f"{middle:.1f} ms ({low:.1f} to {high:.1f})"


def _hosts(cluster: Cluster) -> tuple[Host, Host]:
    """The leader and its standby."""
    env = environment.clients(cluster, [tools.ansible()])
    listed = reach.inventory(cluster, env)
    hosts = [Host(name, reach.ssh_words(cluster, listed["vars"][name]), env) for name in sorted(listed["groups"]["postgresql"])]
    leaders = [it for it in hosts if it.leads()]
    if len(leaders) != 1 or len(hosts) != 2:
        raise Refusal(f"Of {len(hosts)} database hosts {len(leaders)} lead; the figures are of one leader and one standby.")
    return leaders[0], next(it for it in hosts if it is not leaders[0])


def _say(what: str, *figures: str) -> None:
    print(f"{what}: {'; '.join(figures)}", flush=True)
