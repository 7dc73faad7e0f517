"""One backup, and what pgBackRest's exit code does not tell of it.

Damaged pages are a warning to it, and what is too old and cannot be removed fails a backup that is complete.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from meaning import error_of, meaning
from repository import PATIENCE, Backup, BackupError, PgBackRest

# By repository, the backup after which what is too old could not be removed. Until a later one ends well, each firing of the timer says so.
KEPT = Path("/var/lib/pgbackrest/elephant-kept.json")
# Only at this level does it say that the backup itself is complete; whatever it does afterwards is to remove what is too old.
AUDIBLE = "--log-level-console=info"
COMPLETE = re.compile(r"new backup label = (\S+).*backup command end: completed successfully", re.DOTALL)


def arguments(repository: int, kind: str) -> tuple[str, ...]:
    """For pgbackrest: a backup of this type in this repository, of which `complete` can be read."""
    return f"--repo={repository}", f"--type={kind}", AUDIBLE, "backup"


def complete(done: subprocess.CompletedProcess[str]) -> str:
    """Label of the backup that the command has completed; empty when it has not."""
    found = COMPLETE.search(done.stdout + done.stderr)
    return found[1] if found else ""


def kept() -> dict[str, Any]:
    """The notes of what could not be removed."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def note(repository: int, label: str, done: subprocess.CompletedProcess[str]) -> None:
    """Remember, or forget, that too old backups stay."""
    others = {key: it for key, it in kept().items() if key != str(repository)}
    why = {str(repository): {"label": label, "why": error_of(done.stdout + done.stderr)}} if done.returncode != 0 else {}
    KEPT.write_text(json.dumps(others | why))


def complaints(backups: list[Backup], repository: int) -> list[str]:
    """What is wrong with the newest backup of the repository, though it is complete: true on every member, at every look."""
    if not backups:
        return []
    newest, said = backups[-1], []
    if newest.damaged:
        good = next((f"the newest without is {it.label}" for it in reversed(backups) if not it.damaged), "there is none without")
        said.append(
            f"repository {repository}: backup {newest.label} is complete and has damaged pages, as the database has where it was taken;"
            f" {good}. Keep the older backups: raise pgbackrest_retention_days before they are removed."
            f" pgbackrest --stanza=NAME --set={newest.label} info lists the files"
        )
    left = kept().get(str(repository))
    if left and left["label"] == newest.label:
        said.append(
            f"repository {repository}: backup {newest.label} is complete, but what is too old cannot be removed, so the storage fills until"
            f" its keys may delete again (pgBackRest says: {left['why']})"
        )
    return said


def judge(pgbackrest: PgBackRest, repository: int, done: subprocess.CompletedProcess[str]) -> Backup:
    """The complete backup. BackupError when there is none, or when there is and something about it is wrong."""
    label = complete(done)
    if not label:
        raise BackupError(f"repository {repository}: the backup failed: {meaning(done.stdout + done.stderr)}")
    note(repository, label, done)
    backups = pgbackrest.info(PATIENCE, f"--repo={repository}").of(repository)
    if said := complaints(backups, repository):
        raise BackupError("; ".join(said))
    return next(it for it in backups if it.label == label)


def take(pgbackrest: PgBackRest, repository: int, kind: str) -> Backup:
    """A backup now, after whatever holds the lock. Raises as `judge` does."""
    return judge(pgbackrest, repository, pgbackrest.outlast(*arguments(repository, kind)))
