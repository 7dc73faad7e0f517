"""What a restore would do, and every reason why it cannot: asked before anything is touched."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import marker
from meaning import meaning
from repository import INFO, NO_DATA, NO_PATH, OTHER, PATIENCE, Backup, BackupError, Info, PgBackRest, parse
from settings import Settings

MB = 2**20
# Room for WAL while it is replayed, beside the database itself.
WAL_MB = 512


@dataclass(frozen=True)
class Request:
    """Where to go back to: exactly one of latest, time, point with its label, label. `stanza` and `config` name another source."""

    latest: bool = False
    time: str = ""
    point: str = ""
    label: str = ""
    timeline: int = 0
    stanza: str = ""
    config: str = ""

    @property
    def goal(self) -> str:
        """In words. Two requests with the same goal are the same restore."""
        along = (f" on timeline {self.timeline}" if self.timeline else "") + (f" of stanza {self.stanza}" if self.stanza else "")
        if self.time:
            return f"the state of {moment(self.time).isoformat()}{along}"
        if self.point:
            return f"the restore point {self.point} after backup {self.label}{along}"
        return (f"the end of backup {self.label}" if self.label else "the latest point of the archive") + along

    @property
    def arguments(self) -> list[str]:
        """For pgbackrest restore."""
        if self.time:
            return ["--type=time", f"--target={moment(self.time):%Y-%m-%d %H:%M:%S.%f%z}", "--target-action=promote"]
        if self.point:
            return ["--type=name", f"--target={self.point}", "--target-action=promote"]
        return ["--type=immediate", "--target-action=promote"] if self.label else ["--type=default"]


def moment(text: str) -> datetime:
    """A time with its offset from UTC; without one nobody knows which moment is meant."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" +", "+").replace(" -", "-"))
    except ValueError as error:
        raise BackupError(f"restore_time is {text!r}; write it as 2026-11-23T14:05:00+00:00") from error
    if found.tzinfo is None:
        raise BackupError(f"restore_time is {text!r}, without an offset from UTC; write {text.replace(' ', 'T')}+00:00 if UTC is meant")
    return found


def position(lsn: str) -> int:
    """A position in the WAL as a number."""
    high, low = (int(it, 16) for it in lsn.split("/"))
    return high * 2**32 + low


def look(source: PgBackRest) -> Info:
    """What the repositories hold; at least one must answer."""
    done = source.run(PATIENCE, *INFO)
    if done.returncode != 0:
        raise BackupError(f"the repositories cannot be read: {meaning(done.stdout + done.stderr)}")
    info = parse(done.stdout)
    if info.silent and len(info.silent) == len(info.repositories):
        raise BackupError("; ".join(f"repository {it.key} cannot be read: {meaning(it.message)}" for it in info.silent))
    return info


class Archive:
    """The timelines of one repository, its folders of segments, and how the timelines descend from each other."""

    def __init__(self, source: PgBackRest, info: Info, repository: int) -> None:
        self.source, self.repository = source, repository
        self.folder = f"archive/{source.stanza}/{info.archive_ids[repository]}"
        names = [it.strip() for it in self.source.must(f"--repo={self.repository}", "repo-ls", self.folder).splitlines()]
        self.timelines = sorted({int(name[:8], 16) for name in names if len(name) >= 16})
        self.folders = sorted(name for name in names if len(name) == 16)

    def lineage(self, timeline: int) -> dict[int, int]:
        """By timeline, the position up to which it belongs to the history of this one; for itself there is no end."""
        ends: dict[int, int] = {timeline: 2**64}
        if timeline > 1:
            text = self.source.must(f"--repo={self.repository}", "repo-get", f"{self.folder}/{timeline:08X}.history")
            rows = (line.split("#")[0].split() for line in text.splitlines())
            ends |= {int(row[0]): position(row[1]) for row in rows if len(row) >= 2}
        return ends


def on(lineage: dict[int, int], backup: Backup) -> bool:
    """Whether the backup was taken on this history, and not on a branch that was left."""
    timeline = int(backup.archive_stop[:8], 16)
    return timeline in lineage and position(backup.lsn_stop) <= lineage[timeline]


def stamp(seconds: float) -> str:
    """A time for people, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def choose(request: Request, backups: list[Backup], archive: Archive, now: float) -> tuple[Backup, str]:
    """The backup to begin with, and the timeline to follow as pgBackRest wants it."""
    if request.timeline and request.timeline not in archive.timelines:
        known = ", ".join(map(str, archive.timelines))
        raise BackupError(f"restore_timeline is {request.timeline}, and the archive has the timelines {known} only")
    if request.label:
        named = next((it for it in backups if it.label == request.label), None)
        if named is None:
            raise BackupError(f"there is no backup {request.label}; there are: {', '.join(it.label for it in backups)}")
        if named.damaged:
            raise BackupError(f"the backup {named.label} has damaged pages; choose another of: {', '.join(it.label for it in backups)}")
    if request.time and moment(request.time).timestamp() > now:
        raise BackupError(f"restore_time is {request.time}, in the future: now it is {stamp(now)}")
    if request.label and not request.point and not request.timeline:
        return named, "current"
    timeline = request.timeline or archive.timelines[-1]
    fitting = [it for it in backups if on(archive.lineage(timeline), it)]
    if request.label:
        if named not in fitting and not request.timeline:
            return named, "current"
        if named not in fitting:
            own = int(named.archive_stop[:8], 16)
            raise BackupError(f"the backup {named.label} does not belong to timeline {timeline}: its own is {own}")
        return named, str(timeline)
    whole = [it for it in fitting if not it.damaged]
    if not whole:
        raise BackupError(f"no backup belongs to timeline {timeline}; there are: {', '.join(it.label for it in backups)}")
    if request.time:
        earlier = [it for it in whole if it.stopped < moment(request.time).timestamp()]
        if not earlier:
            oldest = f"{whole[0].label}, was complete at {stamp(whole[0].stopped)}"
            raise BackupError(f"no backup is that old: the oldest on timeline {timeline}, {oldest}")
        whole = earlier
    return whole[-1], str(timeline)


def newest(note: dict[str, Any], source: PgBackRest) -> str:
    """The timeline to follow to the latest point: what was archived after the plan may have a newer one, of the same history."""
    info, number = look(source), note["repository"]
    archive = Archive(source, info, number)
    backup = next((it for it in info.of(number) if it.label == note["label"]), None)
    last = archive.timelines[-1]
    return str(last) if backup and on(archive.lineage(last), backup) else note["timeline"]


def used(folder: Path) -> int:
    """Bytes below a folder, as the disk counts them."""
    if not folder.is_dir():
        return 0
    blocks = 0
    for it in folder.rglob("*"):
        # A server may run there, whose files come and go.
        with contextlib.suppress(FileNotFoundError):
            blocks += it.lstat().st_blocks
    return blocks * 512


def room(settings: Settings, size: int) -> bool:
    """Whether the old data can be kept aside; refuses when the restored data would not even fit in its place."""
    data = Path(settings.data_directory)
    # A mount point cannot be renamed, and tablespaces would stay where they are, under both.
    movable = not data.is_mount() and not any((data / "pg_tblspc").glob("*"))
    place = next(it for it in (data, *data.parents) if it.exists())
    free, need = shutil.disk_usage(place).free // MB, size // MB + WAL_MB + settings.minimum_free_mb
    there = used(data) // MB
    if free + there < need:
        has = f"{free} MB free and {there} MB in use by the old data"
        raise BackupError(f"{place} has {has}; the restore needs {need} MB, of which {settings.minimum_free_mb} stay free")
    return movable and free >= need


def own_is_free(settings: Settings) -> None:
    """Refuse to bring another cluster's data beside an archive of this name: the new timeline may be one that it has already."""
    held = [it.key for it in look(PgBackRest(settings.stanza)).repositories if it.code not in (NO_PATH, NO_DATA, OTHER)]
    if held:
        raise BackupError(
            f"repository {', '.join(map(str, held))} already holds a stanza {settings.stanza}, of an earlier cluster of this name:"
            " what is restored from elsewhere would write beside its archive. Choose another name with CLUSTER, or other repositories"
        )


def plan(settings: Settings, request: Request, now: float) -> dict[str, Any]:
    """What will be done, as the note that the members keep. Raises BackupError with the reason why not."""
    source = PgBackRest(request.stanza or settings.stanza, request.config)
    info = look(source)
    # One that goes on may have made its stanza.
    if request.config and marker.read() is None:
        own_is_free(settings)
    held = [it for it in info.repositories if it.code not in (NO_PATH, NO_DATA, OTHER) and info.of(it.key)]
    if not held:
        raise BackupError(f"no repository has a backup of the stanza {source.stanza}; there is nothing to restore from")
    reasons = []
    for repository in held:
        try:
            backup, timeline = choose(request, info.of(repository.key), Archive(source, info, repository.key), now)
            break
        except BackupError as error:
            reasons.append(str(error))
    else:
        raise BackupError("; ".join(dict.fromkeys(reasons)))
    keep = room(settings, backup.size)
    return {
        "id": f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}",
        "at": int(now),
        "node": settings.name,
        "stanza": source.stanza,
        "config": request.config,
        "repository": repository.key,
        "alone": bool(info.silent),
        "label": backup.label,
        "size": backup.size,
        "timeline": timeline,
        "newest": request.latest and not request.timeline,
        "arguments": request.arguments,
        "keep": keep,
        "goal": request.goal,
        "says": [
            f"Goal: {request.goal}, from backup {backup.label} of {stamp(backup.stopped)} (repository {repository.key},"
            f" stanza {source.stanza}), along timeline {'of the backup' if timeline == 'current' else timeline}.",
            lost(request, backup, now),
            f"The old data of {settings.name} is {'kept aside' if keep else 'overwritten: there is no room to keep it'}.",
        ],
        "warns": [
            f"Repository {it.key} is not asked, whatever it has more of: it cannot be read, {meaning(it.message)}." for it in info.silent
        ],
    }


def lost(request: Request, backup: Backup, now: float) -> str:
    """What will not be there any more, in a sentence."""
    since = moment(request.time).timestamp() if request.time else backup.stopped
    if request.latest:
        return "Lost: what is not in the archive. If a leader still runs, its WAL is archived first, and nothing is lost."
    if request.point:
        return f"Lost: all that was written after {request.point}, in every database."
    minutes = max(0, int(now - since)) // 60
    return f"Lost: all that was written after {stamp(since)}, {minutes // 60} h {minutes % 60} min until now, in every database."


def read_request(text: str) -> Request:
    """The request as the playbook gives it."""
    return Request(**json.loads(text))
