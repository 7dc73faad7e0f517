"""Whether a backup is due, and who takes it. Fired on every node; each decides for itself, so failovers need no change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import server
import taking
from meaning import meaning
from repository import LOCKED, PATIENCE, Backup, BackupError, PgBackRest
from settings import Settings

HOUR = 3600
# Of the period of differential ones. An age counts from the end of a backup, so at the same hour a day later it is less than a day. Without
# this each day's backup would be an hour later than the one before, until pgbackrest_hours are over and a day goes without.
SOONER = 0.02
# How often a refused attempt is made again: two nodes can refuse each other, for each holds its own lock and asks for the other's.
ATTEMPTS = 6


def due(settings: Settings, backups: list[Backup], rank: int, now: float) -> str | None:
    """Type of backup that this node should take. A node waits one grace period for each that comes before it."""
    patience = rank * settings.grace_hours - SOONER * settings.differential_hours
    fulls = [it.stopped for it in backups if it.kind == "full"]
    if not fulls or now - max(fulls) >= (settings.full_hours + patience) * HOUR:
        return "full"
    if now - max(it.stopped for it in backups) >= (settings.differential_hours + patience) * HOUR:
        return "diff"
    return None


def take(settings: Settings, pgbackrest: PgBackRest, repository: int, rank: int) -> str:
    """Take the backup that is due, if any; answers a sentence. What is wrong with the newest one is said while it is the newest."""
    failure, locked, quiet = "", False, 0
    for attempt in range(ATTEMPTS + 1):
        # One more look, where the last one saw the lock gone for the first time.
        if attempt == ATTEMPTS and quiet != 1:
            break
        info = pgbackrest.info(PATIENCE, f"--repo={repository}")
        kind = due(settings, info.of(repository), rank, time.time())
        if kind is None:
            if said := taking.complaints(info.of(repository), repository):
                raise BackupError("; ".join(said))
            return f"repository {repository}: nothing is due"
        # pgBackRest lets go of its lock before the backup is in the list: one look may see neither. The first in the order follows nobody.
        quiet = 0 if info.running else quiet + 1
        if quiet > 1 or (quiet == 1 and rank == 0 and attempt == 0):
            done = pgbackrest.run(*taking.arguments(repository, kind))
            if taking.complete(done):
                taking.judge(pgbackrest, repository, done)
                return f"repository {repository}: took a backup of type {kind}"
            # A lock that another node holds, here or there, shows in several exit codes: the leader behind it is not found, for one.
            failure = meaning(done.stdout + done.stderr)
            # `info` sees the locks of this host alone; those of two others, of which one backs up the other, only who is refused by them.
            locked = done.returncode == LOCKED or "[LockAcquireError]" in done.stdout + done.stderr
            quiet = 0 if locked else quiet
        # The longer, the later in the order: so the next attempts do not meet again.
        time.sleep((rank + 1) * settings.stagger_seconds * (attempt + 1))
    if info.running or locked or not failure:
        return f"repository {repository}: another node is taking a backup"
    raise BackupError(f"repository {repository}: backup failed: {failure}")


def each(settings: Settings, act: Callable[[int], str]) -> None:
    """Do it for each repository and print what it answers."""
    failures = []
    for repository in settings.repositories:
        # One that is away, or that something is wrong with, keeps no backup from the others.
        try:
            print(act(repository), flush=True)
        except BackupError as reason:
            failures.append(str(reason))
    if failures:
        raise BackupError("; ".join(failures))


def run(settings: Settings, pgbackrest: PgBackRest) -> None:
    """One firing of the timer."""
    try:
        rank = server.rank(settings)
    except server.NotRunning as reason:
        print(f"PostgreSQL does not run here, so no backup is taken from here: {reason}")
        return
    # All timers may fire in one second, after a boot for instance: the first in the order gets its lock before the next one looks.
    time.sleep(rank * settings.stagger_seconds)
    each(settings, lambda repository: take(settings, pgbackrest, repository, rank))


def now(settings: Settings, pgbackrest: PgBackRest, kind: str) -> None:
    """A backup that a person asks for, on the first member in the order; the others print nothing."""
    try:
        rank = server.rank(settings)
    except server.NotRunning as reason:
        print(f"PostgreSQL does not run here, so no backup is taken from here: {reason}", file=sys.stderr)
        return

    def ask(repository: int) -> str:
        newest = taking.take(pgbackrest, repository, kind)
        return f"repository {repository}: {newest.label} is complete, {newest.size // 2**20} MB of database"

    if rank == 0:
        each(settings, ask)
