"""After a promotion: WAL that the former leader had not archived.

A standby counts streamed segments as archived, so nobody else would push them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import server
import taking
from repository import NO_DATA, NO_PATH, Info, PgBackRest
from settings import Settings

STATE = Path("/var/lib/pgbackrest/elephant-timeline")
POSITION = """
SELECT pg_walfile_name(pg_current_wal_lsn()), pg_size_bytes(current_setting('wal_segment_size')), system_identifier FROM pg_control_system()
"""
# With its checksum: neither a part of one (.partial) nor a note about one (.backup).
SEGMENT = re.compile(r"[0-9A-F]{24}-")


@dataclass(frozen=True, order=True)
class Segment:
    """One WAL segment: its timeline, and its number counted from the beginning of the WAL."""

    timeline: int
    number: int

    def name(self, size: int) -> str:
        """File name for segments of `size` bytes (PostgreSQL's XLogFileName)."""
        per_id = 2**32 // size
        return f"{self.timeline:08X}{self.number // per_id:08X}{self.number % per_id:08X}"


def segment(name: str, size: int) -> Segment:
    """The segment with this file name."""
    return Segment(int(name[:8], 16), int(name[8:16], 16) * (2**32 // size) + int(name[16:24], 16))


def switches(history: str, size: int) -> list[Segment]:
    """For each old timeline of a history file, oldest first, the segment in which it ended: the next timeline has a copy of that one."""
    ends = []
    for line in history.splitlines():
        fields = line.split("#")[0].split()
        if len(fields) >= 2:
            high, low = fields[1].split("/")
            ends.append(Segment(int(fields[0]), (int(high, 16) * 2**32 + int(low, 16)) // size))
    return ends


def needed(start: Segment, ends: list[Segment]) -> list[Segment]:
    """Whole segments of old timelines from `start` on, which a recovery to the current timeline reads."""
    found, number = [], start.number
    for end in ends:
        if end.timeline >= start.timeline:
            found += [Segment(end.timeline, it) for it in range(number, end.number)]
            number = max(number, end.number)
    return found


def archived(pgbackrest: PgBackRest, info: Info, repository: int, names: set[str]) -> set[str]:
    """Those of the named segments that the repository has."""
    there: set[str] = set()
    stanza = pgbackrest.stanza
    for folder in sorted({name[:16] for name in names}):
        listing = pgbackrest.must(f"--repo={repository}", "repo-ls", f"archive/{stanza}/{info.archive_ids[repository]}/{folder}")
        there |= {line[:24] for line in listing.splitlines() if SEGMENT.match(line)}
    return names & there


def missing(settings: Settings, pgbackrest: PgBackRest, info: Info, ends: list[Segment], size: int, newest: bool) -> dict[int, set[str]]:
    """By repository, what a recovery from its newest (or oldest) backup to the current timeline lacks."""
    lacking = {}
    for repository in settings.repositories:
        backups = info.of(repository)
        if backups:
            start = segment(backups[-1].archive_stop if newest else backups[0].archive_start, size)
            names = {it.name(size) for it in needed(start, ends)}
            lacking[repository] = names - archived(pgbackrest, info, repository, names)
    return lacking


def histories(settings: Settings, pgbackrest: PgBackRest, info: Info, ends: list[Segment]) -> set[str]:
    """History files of old timelines that a repository lacks. PostgreSQL sees no timeline behind a hole, and takes its number for free."""
    lacking: set[str] = set()
    for repository in settings.repositories:
        backups = info.of(repository)
        names = {f"{it.timeline:08X}.history" for it in ends if backups and it.timeline > int(backups[0].archive_start[:8], 16)}
        if names:
            folder = f"archive/{pgbackrest.stanza}/{info.archive_ids[repository]}"
            lacking |= names - set(pgbackrest.must(f"--repo={repository}", "repo-ls", folder).split())
    return lacking


def rescue(settings: Settings, pgbackrest: PgBackRest) -> None:
    """One look: nothing to do on a standby, or where this timeline has been looked at already."""
    try:
        if not server.leads(settings):
            return
        ((name, size, system),) = server.ask(settings, POSITION)
    except server.NotRunning:
        return
    mark = f"{system} {name[:8]}"
    if STATE.exists() and STATE.read_text() == mark:
        return
    folder = Path(settings.data_directory) / "pg_wal"
    history = folder / f"{name[:8]}.history"
    ends = switches(history.read_text(), int(size)) if history.exists() else []
    info = pgbackrest.info()
    if not info.repositories or any(it.code in (NO_PATH, NO_DATA) for it in info.repositories):
        # The stanza is made after the cluster.
        return
    segments = set().union(*missing(settings, pgbackrest, info, ends, int(size), newest=False).values())
    for lost in sorted(segments | histories(settings, pgbackrest, info, ends)):
        if (folder / lost).exists():
            # Done at once and not through the queue; the same segment pushed twice is no error to pgBackRest.
            pgbackrest.must("--no-archive-async", "archive-push", str(folder / lost))
            print(f"archived {lost}, which the former leader had not")
    for repository, names in missing(settings, pgbackrest, info, ends, int(size), newest=True).items():
        if names:
            gap = ", ".join(sorted(names))
            print(f"repository {repository} lacks {gap}: nothing after its newest backup can be recovered across this promotion")
            # pg_control names the timeline of a promotion only after its first checkpoint; until then pgBackRest refuses a backup (058).
            server.ask(settings, "CHECKPOINT")
            taking.take(pgbackrest, repository, "full")
            print(f"repository {repository}: took a full backup, from which recovery works again")
    STATE.write_text(mark)
