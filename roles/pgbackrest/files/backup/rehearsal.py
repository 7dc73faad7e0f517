"""A restore that proves the backups: the newest one and all WAL since, in a scratch folder, with every page and index looked at."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import marker
import server
from meaning import meaning
from repository import PATIENCE, Backup, BackupError, PgBackRest
from restore import sizes
from settings import Settings
from timelines import Segment, archived

PROGRAMS = Path("/usr/lib/postgresql")
PLACE = Path("/var/lib/pgbackrest/rehearsal")
RESULT = Path("/var/lib/pgbackrest/elephant-rehearsal.json")
# Seconds within which whole segments have to be in the archive.
ARCHIVED_WITHIN = 300
# Seconds between two looks at the disk.
LOOK = 1
# Seconds that a server may take before it says that it is there; in the bounds of the unit, beside a busy database, that is not at once.
START = 5
# A private server: no address, no archiving, nobody's libraries or subscriptions; a scratch copy needs no fsync. Given on the command line,
# because the copy brings the settings of the original along.
OPTIONS = {
    "listen_addresses": "",
    "port": "5499",
    "archive_mode": "off",
    "autovacuum": "off",
    "fsync": "off",
    "hot_standby": "off",
    "logging_collector": "off",
    "max_logical_replication_workers": "0",
    "session_preload_libraries": "",
    "shared_buffers": "64MB",
    "shared_preload_libraries": "",
    "ssl": "off",
}


@dataclass(frozen=True)
class Target:
    """What the copy has to reach: the beginning of the segment that this server is in, so the end of the one before it."""

    lsn: str
    last: Segment
    size: int

    def names(self) -> set[str]:
        """Names that the last segment may have: after a promotion it is one of an older timeline."""
        return {Segment(it, self.last.number).name(self.size) for it in range(1, self.last.timeline + 1)}


def number_of(lsn: str, size: int) -> int:
    """Number of the segment that has the byte at this position."""
    high, low = (int(it, 16) for it in lsn.split("/"))
    return (high * 2**32 + low) // size


def choose(settings: Settings) -> Target:
    """All whole segments that this server has seen. The one it is in may stay open for hours when nobody writes."""
    position = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END"
    timeline = "coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))"
    ((lsn, tli, size),) = server.ask(settings, f"SELECT {position}, {timeline}, pg_size_bytes(current_setting('wal_segment_size'))")
    number = number_of(lsn, int(size))
    begin = number * int(size)
    return Target(f"{begin >> 32:X}/{begin & 0xFFFFFFFF:X}", Segment(int(tli), number - 1), int(size))


def wait_until_archived(pgbackrest: PgBackRest, repository: int, target: Target) -> None:
    """Wait for the last segment. It is archived whole, so whoever replays it has the target."""
    deadline = time.monotonic() + ARCHIVED_WITHIN
    while not archived(pgbackrest, pgbackrest.info(PATIENCE, f"--repo={repository}"), repository, target.names()):
        if time.monotonic() > deadline:
            raise BackupError(
                f"WAL up to {target.lsn} did not reach repository {repository} within {ARCHIVED_WITHIN} s: archiving has stopped"
            )
        time.sleep(5)


def make_room(settings: Settings, backup: Backup) -> None:
    """Refuse when the copy and its WAL would not fit beside what must stay free."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(mode=0o700)
    for name in ("data", "lock", "log", "tablespaces"):
        (PLACE / name).mkdir(mode=0o700)
    mb = 2**20
    free, need = shutil.disk_usage(PLACE).free // mb, backup.size // mb + 1024 + settings.minimum_free_mb
    if free < need:
        raise BackupError(
            f"{PLACE} has {free} MB free; the rehearsal of {backup.label} needs {need} MB, of which {settings.minimum_free_mb} stay free"
        )


def watched(settings: Settings, command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; BackupError when less is left on the disk meanwhile than must stay free."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    while True:
        try:
            out, error = process.communicate(timeout=LOOK)
            return subprocess.CompletedProcess(command, process.returncode, out, error)
        except subprocess.TimeoutExpired:
            try:
                keep_floor(settings)
            except BackupError:
                process.terminate()
                process.communicate()
                raise


def keep_floor(settings: Settings) -> None:
    """BackupError when the disk is about to run full."""
    if shutil.disk_usage(PLACE).free // 2**20 < settings.minimum_free_mb:
        raise BackupError(f"stopped: less than {settings.minimum_free_mb} MB were left on the disk of {PLACE}")


def restore(settings: Settings, pgbackrest: PgBackRest, repository: int, label: str) -> None:
    """Bring the files. Locks and log of its own, and no queue, so that the live archiving is not disturbed."""
    own = [
        f"--pg1-path={PLACE / 'data'}",
        f"--lock-path={PLACE / 'lock'}",
        f"--log-path={PLACE / 'log'}",
        f"--process-max={settings.processes}",
    ]
    # To the end of the archive: a target on the border of a segment is met only by the next record, which may be an hour away.
    how = ["--type=default", "--archive-mode=off", "--no-delta", f"--tablespace-map-all={PLACE / 'tablespaces'}"]
    done = watched(settings, [*pgbackrest.base, *own, f"--repo={repository}", f"--set={label}", *how, "restore"])
    if done.returncode != 0:
        raise BackupError(f"{label} cannot be restored: {meaning(done.stdout + done.stderr)}")
    data = PLACE / "data"
    (data / "postgresql.conf").write_text("")
    (data / "pg_hba.conf").write_text("local all all peer\n")
    (data / "pg_ident.conf").write_text("")


def recover(settings: Settings, programs: Path, target: Target) -> None:
    """Start the copy, wait until it may write, and see that it has replayed the segment of the target."""
    data, log = PLACE / "data", PLACE / "server.log"
    # As large as the original's: recovery brings its prepared transactions back.
    told = OPTIONS | {"unix_socket_directories": str(PLACE)} | sizes(data)
    options = " ".join(f"-c {name}='{value}'" for name, value in told.items())
    start = [programs / "pg_ctl", "--pgdata", data, "--log", log, "--no-wait", f"--options={options}", "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began, status = time.monotonic(), [programs / "pg_ctl", "--pgdata", data, "status"]
    while subprocess.run([programs / "pg_isready", "--quiet", f"--host={PLACE}", "--port=5499"], check=False).returncode != 0:
        time.sleep(LOOK)
        keep_floor(settings)
        if time.monotonic() > began + START and subprocess.run(status, check=False, capture_output=True).returncode != 0:
            lines = [line for line in log.read_text().splitlines() if "FATAL" in line or "PANIC" in line]
            raise BackupError(f"the restored server did not start: {lines[-1] if lines else log.read_text()[-300:]}")
    done = re.search(r"redo done at ([0-9A-F]+/[0-9A-F]+)", log.read_text())
    if not done or number_of(done[1], target.size) < target.last.number:
        raise BackupError(f"the restored server ended at {done[1] if done else 'an unknown point'}, before {target.lsn}: WAL is missing")


def check(settings: Settings, programs: Path, label: str) -> None:
    """Look at every table and index of the copy."""
    command = [programs / "pg_amcheck", "--all", "--install-missing", "--no-password", f"--host={PLACE}", "--port=5499"]
    done = watched(settings, command)
    if done.returncode != 0:
        raise BackupError(f"pg_amcheck found damage in {label}: {' '.join((done.stdout + done.stderr).split())[:2000]}")


def one(settings: Settings, pgbackrest: PgBackRest, programs: Path, repository: int) -> dict[str, Any]:
    """The rehearsal of one repository; its result has a reason when anything is wrong."""
    began, result = time.time(), {"repository": repository, "ok": False, "at": int(time.time())}
    try:
        backups = pgbackrest.info(PATIENCE, f"--repo={repository}").of(repository)
        if not backups:
            raise BackupError(f"repository {repository} has no backup that could be rehearsed")
        target = choose(settings)
        result |= {"backup": backups[-1].label, "target": target.lsn}
        wait_until_archived(pgbackrest, repository, target)
        make_room(settings, backups[-1])
        restore(settings, pgbackrest, repository, backups[-1].label)
        recover(settings, programs, target)
        check(settings, programs, backups[-1].label)
        result["ok"] = True
        said = f"{backups[-1].label} was restored up to {target.lsn}, and every table and index is whole"
        print(f"repository {repository}: {said}", flush=True)
    except (BackupError, OSError, server.NotRunning, subprocess.CalledProcessError) as error:
        result["reason"] = str(error)
    finally:
        subprocess.run([programs / "pg_ctl", "--pgdata", PLACE / "data", "--mode=immediate", "stop"], check=False, capture_output=True)
        shutil.rmtree(PLACE, ignore_errors=True)
        result["seconds"] = round(time.time() - began, 1)
    return result


def step_back(rank: int) -> None:
    """It is another member's turn; a failure of ours is over, for that one finds out anew."""
    print(f"{rank} members come before this one: nothing to do here")
    # As large as the database, of a rehearsal that lost its power; as a leader this member would keep it for ever.
    if PLACE.exists() and not marker.busy(RESULT):
        shutil.rmtree(PLACE, ignore_errors=True)
    if RESULT.exists() and not json.loads(RESULT.read_text())["ok"]:
        RESULT.unlink()


def rehearse(settings: Settings, pgbackrest: PgBackRest) -> None:
    """A rehearsal of each repository, on the first member in the order. Leaves its result as JSON; BackupError if anything is wrong."""
    try:
        rank = server.rank(settings)
    except server.NotRunning as reason:
        print(f"PostgreSQL does not run here, so nothing is rehearsed from here: {reason}")
        return
    if rank != 0:
        step_back(rank)
        return
    # One at a time: the timer's and a person's have one place.
    with marker.alone(RESULT):
        all_of_them(settings, pgbackrest)


def all_of_them(settings: Settings, pgbackrest: PgBackRest) -> None:
    """Each repository in turn, and the result."""
    programs = PROGRAMS / (Path(settings.data_directory) / "PG_VERSION").read_text().strip() / "bin"
    results = []
    try:
        for repository in settings.repositories:
            # One that is away keeps no rehearsal from the others.
            results.append(one(settings, pgbackrest, programs, repository))
    finally:
        whole = len(results) == len(settings.repositories)
        told = {"ok": whole and all(it["ok"] for it in results), "at": int(time.time()), "repositories": results}
        reasons = "; ".join(it["reason"] for it in results if not it["ok"])
        RESULT.write_text(json.dumps(told | ({"reason": reasons} if reasons else {})))
    if reasons:
        raise BackupError(reasons)
