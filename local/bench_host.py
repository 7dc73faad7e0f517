"""Measures backups on a host of the cluster that `make bench` made: `python3 - MEASURE [NUMBER…]`, sent there by local/bench_backup.py.

Python's own library only. Each measure prints one JSON object; sizes are bytes, times are seconds.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

PLACE = Path("/var/lib/pgbackrest/bench")
SETTINGS = Path("/etc/pgbackrest/elephant.json")
UNIT = "elephant-backup.service"
LOG = Path("/var/tmp/bench-pgbench")
COMMIT = Path("/var/tmp/bench-commit.sql")
# Several tables, so that there are files enough for several processes; 512 characters a row that compress to about half, as real data may.
# Without autovacuum, which would work on beside the measures.
TABLES = 8
ROWS = """
CREATE TABLE bench_{table} (id bigint, filling text) WITH (autovacuum_enabled = false);
INSERT INTO bench_{table} SELECT i, (
  SELECT string_agg(encode(sha512(concat_ws('.', {table}, i, j)::bytea), 'hex'), '') FROM generate_series(1, 4) j
) FROM generate_series(1, {rows}) i;
"""
BYTES_PER_ROW = 560
# Looks per second at memory and at the standby.
LOOKS = 4
PATIENCE = 600
# Decryption, decompression and writing by the programs that do only that.
CIPHER = "openssl enc -aes-256-cbc -pbkdf2 -k bench"
PACK = f"tar -C {PLACE}/data -cf - -T {PLACE}/$0.list | zstd -q -3 | {CIPHER} -out {PLACE}/$0.packed"
UNPACK = f"{CIPHER} -d -in {PLACE}/$0.packed | zstd -q -d | tar -C {PLACE}/$0.out -xf - && find {PLACE}/$0.out -type f -exec sync {{}} +"


def run(*words: object, input: str | None = None) -> str:
    """What a program prints; its failure ends the measure with what it said."""
    told = list(map(str, words))
    done = subprocess.run(told, cwd="/tmp", check=False, capture_output=True, text=True, input=input)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(told)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def postgres(*words: object, input: str | None = None) -> str:
    """The same, as postgres."""
    return run("runuser", "-u", "postgres", "--", *words, input=input)


def sql(statement: str) -> str:
    """The answer of the local server."""
    return postgres("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "postgres", input=statement)


def pgbackrest(*words: object) -> list[object]:
    """Words of the command."""
    return ["runuser", "-u", "postgres", "--", "pgbackrest", f"--stanza={settings()['stanza']}", *words]


def settings() -> dict:
    """What the role pgbackrest has told this host."""
    return json.loads(SETTINGS.read_text())


def memory(name: str) -> int:
    """Bytes that all processes of this name hold for themselves: RssAnon of proc_pid_status(5), so without code and what they share."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() == name:
                total += anonymous((process / "status").read_text())
        except OSError:
            continue
    return total


def anonymous(status: str) -> int:
    """Bytes in the line RssAnon, of a process that has one."""
    return sum(int(it.split()[1]) * 1024 for it in status.splitlines() if it.startswith("RssAnon:"))


@contextmanager
def sampled(look: Callable[[], int]) -> Iterator[list[int]]:
    """What `look` answers, several times a second, while the body runs."""
    seen: list[int] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(1 / LOOKS):
            seen.append(look())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def timed(*words: object) -> dict[str, float]:
    """Run it; when, for how long, and the most memory that pgBackRest held here."""
    with sampled(lambda: memory("pgbackrest")) as held:
        began = time.time()
        run(*words)
        ended = time.time()
    return {"began": began, "ended": ended, "seconds": ended - began, "memory": max(held, default=0)}


def archiving() -> tuple[int, int]:
    """Segments that were archived so far, and those that wait."""
    waiting = sum(1 for _ in (Path(settings()["data_directory"]) / "pg_wal/archive_status").glob("*.ready"))
    return int(sql("SELECT archived_count FROM pg_stat_archiver")), waiting


def archived_while(body: Callable[[], None]) -> dict[str, float]:
    """How many segments were archived while something wrote, how many waited at its end, and how long those took."""
    before, began = archiving()[0], time.monotonic()
    body()
    seconds = time.monotonic() - began
    done, waiting = archiving()
    while left := archiving()[1]:
        if time.monotonic() - began > seconds + PATIENCE:
            raise SystemExit(f"After {PATIENCE} s {left} segments still wait to be archived.")
        time.sleep(0.1)
    return {"seconds": seconds, "segments": done - before, "waiting": waiting, "drained": time.monotonic() - began - seconds}


def fill(megabytes: str) -> dict:
    """Tables of about that size together, written by as many sessions as there are processors."""
    rows = max(1, int(megabytes) * 2**20 // BYTES_PER_ROW // TABLES)

    def write() -> None:
        with ThreadPoolExecutor(processors()) as pool:
            list(pool.map(lambda table: sql(ROWS.format(table=table, rows=rows)), range(TABLES)))
        sql("CHECKPOINT; SELECT pg_switch_wal()")

    return archived_while(write) | {"size": int(sql("SELECT sum(pg_database_size(oid)) FROM pg_database"))}


def backup(processes: str) -> dict:
    """A full backup, with so many processes."""
    return timed(*pgbackrest("--type=full", f"--process-max={processes}", "backup"))


def restore(processes: str) -> dict:
    """The newest backup into a scratch folder, as a restore of the cluster would bring it; pgBackRest itself calls fsync for each file."""
    postgres("mkdir", "-p", PLACE / "data", PLACE / "lock", PLACE / "log")
    postgres("chmod", "0700", PLACE / "data")
    own = (f"--pg1-path={PLACE / 'data'}", f"--lock-path={PLACE / 'lock'}", f"--log-path={PLACE / 'log'}")
    took = timed(*pgbackrest(*own, f"--process-max={processes}", "--no-delta", "--type=none", "restore"))
    return took | {"size": sum(files(PLACE / "data").values())}


def files(folder: Path) -> dict[str, int]:
    """Sizes of all files, by their paths below the folder."""
    return {str(it.relative_to(folder)): it.stat().st_size for it in folder.rglob("*") if it.is_file()}


def dealt(sizes: dict[str, int], hands: int) -> list[list[str]]:
    """The names in so many lists, so that each has about as many bytes as the others: the largest first, each to the one that has least."""
    lists: list[list[str]] = [[] for _ in range(hands)]
    filled = [0] * hands
    for name in sorted(sizes, key=lambda it: (-sizes[it], it)):
        least = filled.index(min(filled))
        lists[least].append(name)
        filled[least] += sizes[name]
    return lists


def pack(processes: str) -> dict:
    """What was restored, as so many streams, compressed and encrypted as in the repository."""
    if not shutil.which("zstd"):
        run("apt-get", "install", "--yes", "--quiet", "zstd")
    sizes = files(PLACE / "data")
    for number, names in enumerate(dealt(sizes, int(processes))):
        (PLACE / f"{number}.list").write_text("".join(f"{it}\n" for it in names))
        run("bash", "-o", "pipefail", "-c", PACK, number)
    shutil.rmtree(PLACE / "data")
    return {"size": sum(sizes.values()), "packed": sum(it.stat().st_size for it in PLACE.glob("*.packed"))}


def floor(processes: str) -> dict:
    """Each stream decrypted, decompressed and written, all at once, until the disk has it: what any restore has to do with these bytes."""
    numbers = range(int(processes))
    for number in numbers:
        (PLACE / f"{number}.out").mkdir()
    began = time.monotonic()
    with ThreadPoolExecutor(len(numbers)) as pool:
        list(pool.map(lambda it: run("bash", "-o", "pipefail", "-c", UNPACK, it), numbers))
    seconds = time.monotonic() - began
    shutil.rmtree(PLACE)
    return {"seconds": seconds}


def settle() -> dict:
    """What was written so far is on the disk, so that one minute begins as another."""
    sql("CHECKPOINT")
    return {}


def full_speed(seconds: str) -> dict:
    """pgbench as fast as it goes, and what of its WAL is archived meanwhile."""
    postgres("pgbench", "--initialize", "--quiet", "--scale=20", "postgres")
    said: list[str] = []

    def load() -> None:
        said.append(postgres("pgbench", "--client=8", "--jobs=2", f"--time={seconds}", "--no-vacuum", "postgres"))

    return archived_while(load) | {"rate": rate(said[0])}


def rate(said: str) -> float:
    """Transactions per second, in pgbench's own summary."""
    return float(next(it.split()[2] for it in said.splitlines() if it.startswith("tps = ")))


def latency(seconds: str, per_second: str) -> dict:
    """pgbench at a rate, every second transaction one row and its commit; `commits` reads its log. Whether the standby was synchronous."""
    for old in LOG.parent.glob(f"{LOG.name}.*"):
        old.unlink()
    sql("CREATE TABLE IF NOT EXISTS bench_commits (at timestamptz DEFAULT now())")
    COMMIT.write_text("INSERT INTO bench_commits DEFAULT VALUES;\n")
    load = ("--builtin=tpcb-like", f"--file={COMMIT}", "--client=8", "--jobs=2", f"--rate={per_second}", f"--time={seconds}")
    look = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"
    with ThreadPoolExecutor(1) as pool:
        # One session that asks again and again costs the host next to nothing.
        looks = pool.submit(sql, f"{look} \\watch i={1 / LOOKS} c={int(seconds) * LOOKS}\n")
        postgres("pgbench", *load, "--no-vacuum", "--log", f"--log-prefix={LOG}", "postgres")
    seen = [it for it in looks.result().splitlines() if it.isdigit()]
    return {"looks": len(seen), "synchronous": seen.count("1")}


def commits(began: str, ended: str) -> dict:
    """The 99th percentiles of what a commit took that ended in this time: by itself, and since it was due."""
    logs = LOG.parent.glob(f"{LOG.name}.*")
    took = [it for file in logs for it in logged(file.read_text().splitlines(), float(began), float(ended))]
    return {"commits": len(took), "itself": quantile([it[0] for it in took], 0.99), "due": quantile([it[1] for it in took], 0.99)}


def logged(lines: Iterable[str], began: float, ended: float) -> list[tuple[float, float]]:
    """How long the transactions of the second script took that ended in this time: by themselves, and since they were due.

    A line of pgbench's log at a rate: client, number, microseconds since it was due, script, seconds and microseconds of its end, and those
    of the first that it waited for its session, busy with another transaction.
    """
    fields = ([int(it) for it in line.split()] for line in lines)
    return [((it[2] - it[6]) / 1e6, it[2] / 1e6) for it in fields if it[3] == 1 and began <= it[4] + it[5] / 1e6 <= ended]


def quantile(values: list[float], share: float) -> float:
    """The smallest of them that this share of them does not exceed."""
    if not values:
        raise SystemExit("Nothing was committed in that time, so there is no quantile.")
    return sorted(values)[math.ceil(len(values) * share) - 1]


def scheduled() -> dict:
    """A full backup by the unit of the schedule, within all its bounds, as if one were due."""
    extra = Path(f"/run/systemd/system/{UNIT}.d/bench.conf")
    extra.parent.mkdir(parents=True, exist_ok=True)
    extra.write_text("[Service]\nExecStart=\nExecStart=/usr/bin/python3 /usr/local/lib/elephant/backup take --type=full\n")
    try:
        run("systemctl", "daemon-reload")
        return timed("systemctl", "start", UNIT)
    finally:
        extra.unlink()
        run("systemctl", "daemon-reload")


def processors() -> int:
    """As many as this host has."""
    return os.cpu_count() or 1


MEASURES: dict[str, Callable[..., dict]] = {
    it.__name__: it for it in (fill, backup, restore, pack, floor, settle, full_speed, latency, commits, scheduled)
}

if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](*sys.argv[2:]) | {"processors": processors()}))
