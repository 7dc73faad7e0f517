"""What a deploy needs before it may call itself done: the stanza, archiving that works, a complete backup."""

from __future__ import annotations

import sys
from typing import Any

import marker
import server
import taking
from repository import LOCKED, NO_DATA, NO_PATH, Backup, BackupError, PgBackRest
from settings import Settings

# Seconds until `check` gives up; by itself it takes 60. A segment that PostgreSQL hands over while stanza-create holds the lock costs the
# archive-timeout of archive-push, 60 too, and is tried again after up to 60 more (PGARCH_AUTOWAKE_INTERVAL in PostgreSQL's pgarch.c).
CHECK = "--archive-timeout=180"


def guard(settings: Settings, pgbackrest: PgBackRest) -> None:
    """Refuse to begin a new cluster beside the archive of an old one."""
    others = [address for name, address in settings.members.items() if name != settings.name]
    if not server.is_blank(settings) or any(server.answers(it, settings.port) for it in others):
        print("this cluster has data")
        return
    held = [it.key for it in pgbackrest.info().repositories if it.code not in (NO_PATH, NO_DATA)]
    if held:
        where = ", ".join(map(str, held))
        raise BackupError(
            f"repository {where} already holds the stanza {settings.stanza}, but the hosts are blank:"
            " a new cluster would write beside the archive of the old one."
            ' Bring the old one back with the same playbook and -e \'{"restore_from": {"latest": true}}\' (docs/backup.md),'
            " or choose another name with CLUSTER."
        )
    print("the repositories are free")


def ensure(settings: Settings, pgbackrest: PgBackRest) -> None:
    """On the leader only; the others say that they are none. Each line on standard output is a change."""
    if not server.leads(settings):
        print(f"{settings.name} does not lead", file=sys.stderr)
        return
    if not (states := pgbackrest.info().repositories) or any(it.code in (NO_PATH, NO_DATA) for it in states):
        pgbackrest.patiently("stanza-create")
        print("the stanza was created")
    pgbackrest.must(CHECK, "check")
    for repository in settings.repositories:
        if not pgbackrest.info().of(repository) and first(pgbackrest, repository):
            print(f"repository {repository}: took the first full backup")
        note = marker.read()
        # What follows a restore needs a beginning of its own: an older backup may belong to a branch that was left.
        if note and not any(
            it.kind == "full" and it.started >= note["at"] and on_its_branch(it, note) for it in pgbackrest.info().of(repository)
        ):
            taking.take(pgbackrest, repository, "full")
            print(f"repository {repository}: took a full backup after the restore")


def first(pgbackrest: PgBackRest, repository: int) -> bool:
    """The repository has a full backup; whether this took it, and not the schedule's unit, which held the lock."""
    done = pgbackrest.outlast(*taking.arguments(repository, "full"), enough=lambda: bool(pgbackrest.info().of(repository)))
    if done.returncode == LOCKED and pgbackrest.info().of(repository):
        return False
    taking.judge(pgbackrest, repository, done)
    return True


def on_its_branch(backup: Backup, note: dict[str, Any]) -> bool:
    """Not one that was begun between the plan of the restore and the end of the old cluster."""
    return int(backup.archive_start[:8], 16) >= note.get("new_timeline", 0)
