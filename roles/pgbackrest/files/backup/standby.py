"""A new standby's data from a repository, for Patroni: where this refuses (exit code 1), Patroni copies a member instead.

A copy that ends well never waits for WAL that nobody has: the archive has every segment from the backup's first to its newest one, and what
comes after that the leader keeps until it is archived.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import marker
from meaning import meaning
from plan import Archive, on
from repository import INFO, PATIENCE, Backup, BackupError, Info, PgBackRest, parse
from settings import Settings
from timelines import SEGMENT, Segment, archived, needed, segment

UNITS = {"kB": 2**10, "MB": 2**20, "GB": 2**30}


@dataclass(frozen=True)
class Leader:
    """What the member that Patroni would copy says of itself."""

    system_id: str
    timeline: int
    segment_size: int


def ask(connstring: str) -> Leader:
    """IDENTIFY_SYSTEM and the size of segments, by the protocol of replication: the only one that a standby may speak there."""
    command = ["psql", "-XAtq", f"--dbname={connstring} replication=1", "--command=IDENTIFY_SYSTEM", "--command=SHOW wal_segment_size"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BackupError(f"the leader cannot be asked: {' '.join(done.stderr.split())}")
    system, size = done.stdout.split()
    return Leader(system.split("|")[0], int(system.split("|")[1]), int(size[:-2]) * UNITS[size[-2:]])


def wanted(backup: Backup, lineage: dict[int, int], leader: Leader, newest: int) -> list[Segment]:
    """Every segment from the backup's first to the leader's newest archived one, by its number, along the lineage."""
    size, first = leader.segment_size, segment(backup.archive_start, leader.segment_size)
    ends = [Segment(timeline, end // size) for timeline, end in sorted(lineage.items()) if timeline != leader.timeline]
    begin = max([first.number, *(it.number for it in ends if it.timeline >= first.timeline)])
    return needed(first, ends) + [Segment(leader.timeline, it) for it in range(begin, newest + 1)]


def usable(pgbackrest: PgBackRest, info: Info, repository: int, leader: Leader) -> Backup:
    """The newest backup of the repository, from which a standby reaches the leader. Raises BackupError when there is none."""
    if info.system_ids.get(repository) != leader.system_id:
        raise BackupError("it is of another database")
    archive = Archive(pgbackrest, info, repository)
    lineage = archive.lineage(leader.timeline)
    backups = [it for it in info.of(repository) if on(lineage, it) and not it.damaged]
    if not backups:
        raise BackupError(f"no backup belongs to the history of timeline {leader.timeline}")
    folders = [it for it in archive.folders if int(it[:8], 16) == leader.timeline]
    newest = -1
    if folders:
        listing = pgbackrest.must(f"--repo={repository}", "repo-ls", f"{archive.folder}/{folders[-1]}").splitlines()
        newest = max((segment(it[:24], leader.segment_size).number for it in listing if SEGMENT.match(it)), default=-1)
    segments = wanted(backups[-1], lineage, leader, newest)
    # Each segment is fetched by itself; a member gives the whole database in one stream.
    if len(segments) * leader.segment_size > backups[-1].size:
        raise BackupError(f"there are {len(segments)} segments of WAL since {backups[-1].label}, more than the database has")
    names = {it.name(leader.segment_size) for it in segments}
    missing = sorted(names - archived(pgbackrest, info, repository, names))
    if missing:
        raise BackupError(f"{missing[0]} is not in the archive, one of {len(missing)} that lack since {backups[-1].label}")
    return backups[-1]


def choose(pgbackrest: PgBackRest, connstring: str) -> Backup:
    """A usable backup of the first repository that has one; otherwise BackupError with every reason."""
    if marker.read() is not None:
        raise BackupError("a restore is under way, whose member is what has to be copied")
    # A new cluster has no stanza yet, so that this is all that its first standby waits for.
    info = parse(pgbackrest.must(PATIENCE, *INFO))
    held = [it for it in info.repositories if it.code == 0 and info.of(it.key)]
    if not held:
        raise BackupError("no repository has a backup yet, or none answers")
    leader, reasons = ask(connstring), []
    for repository in held:
        try:
            return usable(pgbackrest, info, repository.key, leader)
        except BackupError as reason:
            reasons.append(f"repository {repository.key}: {reason}")
    raise BackupError("; ".join(reasons))


def copy(settings: Settings, pgbackrest: PgBackRest, connstring: str) -> None:
    """The empty data directory has a usable backup, as a standby's."""
    try:
        backup = choose(pgbackrest, connstring)
    except BackupError as reason:
        raise BackupError(f"not copied from a repository, but from a member: {reason}") from reason
    print(f"this standby is copied from backup {backup.label} of repository {backup.repository}", flush=True)
    data = Path(settings.data_directory)
    # Patroni removes what it empties.
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = pgbackrest.run(f"--repo={backup.repository}", f"--set={backup.label}", "--type=standby", "restore")
    if done.returncode != 0:
        raise BackupError(f"backup {backup.label} could not be copied: {meaning(done.stdout + done.stderr)}")
    # The settings of another time.
    (data / "patroni.dynamic.json").unlink(missing_ok=True)
