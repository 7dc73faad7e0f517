"""What a deploy needs before it may call itself done: the stanza, archiving that works, a complete backup."""

from __future__ import annotations

import sys
import time
from typing import Any

import marker
import server
import taking
from repository import LOCKED, NO_DATA, NO_PATH, Backup, BackupError, PgBackRest
from settings import Settings

# Seconds until `check` gives up; by itself it takes 60. A segment that PostgreSQL hands over while stanza-create holds the lock costs the
# archive-timeout of archive-push, 60 too, and is tried again after up to 60 more (PGARCH_AUTOWAKE_INTERVAL in PostgreSQL's pgarch.c).
CHECK = "--archive-timeout=180"
# Seconds between two looks at somebody else's backup.
PAUSE = 10


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
    note = marker.read()
    for repository in settings.repositories:
        if take(pgbackrest, repository, note):
            print(f"repository {repository}: took {'a full backup after the restore' if note else 'the first full backup'}")


def take(pgbackrest: PgBackRest, repository: int, note: dict[str, Any] | None) -> bool:
    """The repository has the backup that it needs; whether this took it, and nobody had or was just about to."""
    if covers(pgbackrest.info().of(repository), note):
        return False
    while (done := pgbackrest.run(*taking.arguments(repository, "full"))).returncode == LOCKED:
        # The schedule's unit is at it, or this command of a run that lost its connection: however long that takes, it is waited for.
        quiet = 0
        # pgBackRest lets go of its lock before the backup is in the list: one look may see neither.
        while quiet < 2:
            time.sleep(PAUSE)
            info = pgbackrest.info()
            if covers(info.of(repository), note):
                return False
            quiet = 0 if info.running else quiet + 1
    taking.judge(pgbackrest, repository, done)
    return True


def covers(backups: list[Backup], note: dict[str, Any] | None) -> bool:
    """There is a complete backup, and after a restore one of its own: an older one may belong to a branch that was left.

    Nor does one count that was begun between the plan of the restore and the end of the old cluster.
    """
    if not note:
        return bool(backups)
    fulls = [it for it in backups if it.kind == "full" and it.started >= note["at"]]
    return any(int(it.archive_start[:8], 16) >= note.get("new_timeline", 0) for it in fulls)
