"""Which segments a recovery across promotions needs, from history files as PostgreSQL writes them."""

import copy
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "roles/pgbackrest/files/backup"))
import schedule
import standby
import taking
import timelines
from repository import Backup, BackupError, Info
from repository import Repository as State
from settings import Settings

SIZE = 16 * 2**20
HISTORY = "1\t0/5000028\tno recovery target specified\n\n2\t1/2000000\tno recovery target specified\n"


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**36))
def test_names_are_read_back(timeline, number):
    segment = timelines.Segment(timeline, number)
    assert timelines.segment(segment.name(SIZE), SIZE) == segment


def test_a_history_names_the_segments_in_which_timelines_ended():
    assert [it.name(SIZE) for it in timelines.switches(HISTORY, SIZE)] == ["000000010000000000000005", "000000020000000100000002"]


def test_segments_before_the_switch_are_needed_and_that_of_the_switch_is_not():
    ends = timelines.switches("1\t0/5000028\treason\n", SIZE)
    start = timelines.segment("000000010000000000000003", SIZE)
    assert [it.name(SIZE) for it in timelines.needed(start, ends)] == ["000000010000000000000003", "000000010000000000000004"]


def test_a_backup_of_a_later_timeline_needs_nothing_of_an_earlier_one():
    ends = timelines.switches(HISTORY, SIZE)
    assert timelines.needed(timelines.segment("000000030000000100000004", SIZE), ends) == []
    names = {it.name(SIZE)[:8] for it in timelines.needed(timelines.segment("000000020000000000000006", SIZE), ends)}
    assert names == {"00000002"}


def test_timelines_follow_each_other_without_a_hole():
    found = timelines.needed(timelines.Segment(1, 3), timelines.switches(HISTORY, SIZE))
    assert [it.number for it in found] == list(range(3, timelines.segment("000000020000000100000002", SIZE).number))
    assert [it.timeline for it in found] == [1, 1] + [2] * (len(found) - 2)


def told(**changes):
    values = {"stanza": "s", "name": "a", "members": {}, "data_directory": "", "port": 1, "socket_directory": "", "repositories": [1]}
    values |= {"full_hours": 168, "differential_hours": 24, "grace_hours": 0.5, "stagger_seconds": 5, "minimum_free_mb": 1}
    return Settings(**(values | changes))


def backup(kind, hours_ago, now=10**9):
    stopped = int(now - hours_ago * 3600)
    return Backup(1, "label", kind, stopped, stopped, 1, False, "", "")


def test_what_is_due_follows_the_age_and_the_rank():
    now = 10**9

    def ask(rank, *backups):
        return schedule.due(told(), list(backups), rank, now)

    assert ask(0) == "full" and ask(3) == "full", "no backup at all cannot wait"
    assert ask(0, backup("full", 23)) is None
    assert ask(0, backup("full", 24)) == "diff"
    assert ask(1, backup("full", 24)) is None, "the first in the order is given time"
    assert ask(1, backup("full", 24.5)) == "diff", "but not for ever"
    assert ask(0, backup("full", 168), backup("diff", 1)) == "full"
    assert ask(0, backup("full", 100), backup("diff", 23)) is None


@pytest.mark.parametrize("hours", [range(24), range(1, 6), [3]], ids=["any hour", "1..5", "3"])
def test_each_day_has_its_backup_whatever_the_hours(hours):
    """The timer fires on the hour, and a backup takes ten minutes."""
    backups, taken_at = [], []
    for hour in range(30 * 24):
        now = hour * 3600
        if hour % 24 in hours and (kind := schedule.due(told(), backups, 0, now)):
            backups.append(dataclasses.replace(backup(kind, 0), stopped=now + 600))
            taken_at.append((hour, kind))
    assert {hour % 24 for hour, _ in taken_at} == {hours[0]} and len(taken_at) == 30
    assert [hour // 24 for hour, kind in taken_at if kind == "full"] == [0, 7, 14, 21, 28]


def test_a_note_or_a_part_of_a_segment_is_not_the_segment():
    class Listing:
        stanza = "s"

        def must(self, *_):
            whole = "000000010000000000000003-0123456789012345678901234567890123456789.zst"
            return f"{whole}\n000000010000000000000004.00000028.backup\n000000010000000000000005.partial-01.zst\n"

    names = {f"00000001000000000000000{it}" for it in (3, 4, 5)}
    info = Info([], [], False, {1: "17-1"})
    assert timelines.archived(Listing(), info, 1, names) == {"000000010000000000000003"}


# A backup of timeline 1 that begins in segment 3; timeline 2 left it in segment 5.
LEADER = standby.Leader("77", 2, SIZE)
LINEAGE = {2: 2**64, 1: 5 * SIZE + 0x28}


def taken(**changes):
    values = {"repository": 1, "label": "it", "kind": "full", "started": 0, "stopped": 1, "size": 2**30, "damaged": False}
    return Backup(
        **(
            values
            | {"archive_start": "000000010000000000000003", "archive_stop": "000000010000000000000003", "lsn_stop": "0/4000000"}
            | changes
        )
    )


def test_a_new_standby_needs_all_from_the_backups_first_segment_to_the_newest():
    names = [it.name(SIZE) for it in standby.wanted(taken(), LINEAGE, LEADER, 7)]
    assert names == [f"0000000{it}" for it in ("10000000000000003", "10000000000000004", *(f"2000000000000000{n}" for n in (5, 6, 7)))]


def test_nothing_of_the_new_timeline_is_archived_yet():
    assert [it.timeline for it in standby.wanted(taken(), LINEAGE, LEADER, -1)] == [1, 1], "its leader has it all"


class Repository:
    """What pgBackRest lists of a repository with the segments of test_a_new_standby_needs_all, some of which may be hidden."""

    stanza = "s"

    def __init__(self, *hidden):
        self.hidden = hidden

    def must(self, *words):
        if words[-1].endswith(".history"):
            return "1\t0/5000028\tno recovery target specified\n"
        if words[-1].endswith("/17-1"):
            return "0000000100000000\n0000000200000000\n00000002.history\n"
        timeline, numbers = words[-1][-16:], (3, 4) if words[-1][-9] == "1" else (5, 6, 7)
        return "".join(f"{timeline}{it:08X}-{'0' * 40}.zst\n" for it in numbers if it not in self.hidden)


def usable(*hidden, system="77", **changes):
    info = Info([], [taken(**changes)], False, {1: "17-1"}, {1: system})
    return standby.usable(Repository(*hidden), info, 1, LEADER)


def test_a_backup_is_usable_when_no_segment_is_missing():
    assert usable().label == "it"


@pytest.mark.parametrize(
    ("hidden", "changes", "said"),
    [
        ((4,), {}, "000000010000000000000004 is not in the archive"),
        ((6,), {}, "000000020000000000000006 is not in the archive"),
        ((), {"system": "78"}, "another database"),
        ((), {"damaged": True}, "no backup belongs to the history of timeline 2"),
        ((), {"archive_stop": "000000010000000000000006", "lsn_stop": "0/6000000"}, "no backup belongs to the history of timeline 2"),
        ((), {"size": 4 * SIZE}, "5 segments of WAL since it, more than the database has"),
    ],
    ids=["a hole before the promotion", "a hole after it", "another database", "damaged", "of a branch that was left", "too much WAL"],
)
def test_otherwise_a_member_is_copied(hidden, changes, said):
    with pytest.raises(BackupError, match=said):
        usable(*hidden, **changes)


# What pgBackRest 2.45 and 2.55 say of a backup at --log-level-console=info, then of an old one that may not be deleted.
SAID = """P00   INFO: new backup label = label
P00   INFO: full backup size = 21.9MB, file total = 964
P00   INFO: backup command end: completed successfully (5787ms)
P00   INFO: expire command begin 2.55.1: --stanza=s
P00   INFO: expire command end: aborted with exception [104]
"""
REFUSED = "ERROR: [060]: repo1: unable to remove '/repo/backup/s/20261130-213936F/backup.manifest': [13] Permission denied\n"


class Storage:
    """A repository with one old full backup, in which a new one ends as told."""

    def __init__(self, code=0, said=SAID, error="", damaged=False):
        self.done, self.damaged = subprocess.CompletedProcess((), code, said, error), damaged
        self.backups = [dataclasses.replace(backup("full", 200, time.time()), label="old")]

    def info(self, *_):
        return Info([], self.backups, False, {})

    def run(self, *_):
        if "backup command end: completed" in self.done.stdout:
            new = dataclasses.replace(backup("full", 0, time.time()), damaged=self.damaged)
            self.backups = [*self.backups, new]
        return self.done

    outlast = run


@pytest.fixture
def _first(monkeypatch, tmp_path):
    monkeypatch.setattr(schedule.server, "rank", lambda _: 0)
    monkeypatch.setattr(taking, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(schedule.time, "sleep", lambda _: None)


@pytest.mark.usefixtures("_first")
@pytest.mark.parametrize(
    ("storage", "sentence"),
    [
        (Storage(104, error=REFUSED), "backup label is complete, but what is too old cannot be removed.*Permission denied"),
        (Storage(damaged=True), "backup label is complete and has damaged pages.*the newest without is old. Keep the older backups"),
        (Storage(104, error=REFUSED, damaged=True), "damaged pages.*cannot be removed"),
    ],
    ids=["what is too old stays", "damaged pages", "both"],
)
@pytest.mark.parametrize("by", [schedule.run, lambda *given: schedule.now(*given, "full")], ids=["timer", "person"])
def test_a_complete_backup_with_something_wrong_is_red_until_a_better_one(by, storage, sentence):
    storage = copy.deepcopy(storage)
    with pytest.raises(BackupError, match=sentence):
        by(told(), storage)
    with pytest.raises(BackupError, match=sentence):
        schedule.run(told(), storage)
    storage.done, storage.damaged = subprocess.CompletedProcess((), 0, SAID.replace("aborted with exception [104]", "completed"), ""), False
    schedule.now(told(), storage, "full")
    schedule.run(told(), storage)


@pytest.mark.usefixtures("_first")
def test_another_members_better_backup_ends_the_complaint():
    storage = Storage(104, error=REFUSED)
    with pytest.raises(BackupError):
        schedule.run(told(), storage)
    storage.backups = [*storage.backups, dataclasses.replace(storage.backups[-1], label="later", stopped=storage.backups[-1].stopped + 1)]
    schedule.run(told(), storage)


@pytest.mark.usefixtures("_first")
def test_a_backup_that_is_not_complete_is_told_by_its_error():
    with pytest.raises(BackupError, match=r"backup failed: .*\[056\]"):
        schedule.run(told(), Storage(56, "P00   INFO: backup command begin 2.55.1\n", "ERROR: [056]: unable to find primary cluster\n"))


# As pgBackRest says it on a third member while the first one backs up with the second one's help.
HELD = "unable to acquire lock on file '/var/lib/pgbackrest/lock/s-backup.lock': Resource temporarily unavailable"
THIRD = f"""P00   WARN: unable to check pg2: [LockAcquireError] raised from remote-0 tls protocol on '192.0.2.9': {HELD}
P00   WARN: unable to check pg3: [LockAcquireError] raised from remote-0 tls protocol on '192.0.2.8': {HELD}
"""


@pytest.mark.usefixtures("_first")
@pytest.mark.parametrize(
    "storage",
    [
        Storage(56, THIRD, "ERROR: [056]: [DbConnectError] unable to find primary cluster - cannot proceed\n"),
        Storage(50, "", f"ERROR: [050]: {HELD}\n"),
    ],
    ids=["of two others", "its own"],
)
def test_a_backup_that_others_are_taking_is_no_failure(storage, capsys):
    schedule.run(told(), storage)
    assert capsys.readouterr().out == "repository 1: another node is taking a backup\n"


@pytest.mark.usefixtures("_first")
def test_a_backup_whose_lock_is_gone_and_that_is_not_in_the_list_yet_is_not_made_twice(monkeypatch, capsys):
    class Ending(Storage):
        def info(self, *_):
            found = super().info()
            self.backups = [*self.backups, backup("full", 0, time.time())]
            return found

        def run(self, *_):
            pytest.fail("a second backup was begun")

    monkeypatch.setattr(schedule.server, "rank", lambda _: 1)
    schedule.run(told(), Ending())
    assert capsys.readouterr().out == "repository 1: nothing is due\n"


@pytest.mark.usefixtures("_first")
def test_a_repository_that_is_away_keeps_no_backup_from_the_others(capsys):
    class FirstIsAway:
        def info(self, *options):
            if "--repo=1" in options:
                raise BackupError("repository 1 cannot be read: the storage cannot be reached")
            assert "--repo=2" in options, "one that is not asked for need not be there"
            return Info([], self.taken, False, {})

        def __init__(self):
            self.taken = []

        def run(self, *arguments):
            assert arguments == taking.arguments(2, "full")
            self.taken = [dataclasses.replace(backup("full", 0), repository=2)]
            return subprocess.CompletedProcess(arguments, 0, SAID, "")

    with pytest.raises(BackupError, match="repository 1 cannot be read"):
        schedule.run(told(repositories=[1, 2]), FirstIsAway())
    assert capsys.readouterr().out == "repository 2: took a backup of type full\n"


def test_what_two_dead_leaders_took_along_is_archived_with_the_history_between_them(tmp_path, monkeypatch):
    """Timeline 2 began and ended while the storage was away. Without its history PostgreSQL sees no 3, and gives the number 2 again."""
    wal = tmp_path / "pg_wal"
    wal.mkdir()
    (wal / "00000003.history").write_text("1\t0/5000028\treason\n\n2\t0/6000028\treason\n")
    for name in ("00000002.history", "000000010000000000000004", "000000020000000000000005"):
        (wal / name).touch()
    there, pushed = {"000000010000000000000003"}, []

    class Archive:
        stanza = "s"

        def info(self):
            return Info([State(1, 0, "ok")], [taken()], False, {1: "17-1"})

        def must(self, *words):
            if words[1] == "archive-push":
                pushed.append(Path(words[2]).name)
                there.add(pushed[-1])
                return ""
            if words[-1].endswith("/17-1"):
                return "\n".join({it if "." in it else it[:16] for it in there})
            return "".join(f"{it}-{'0' * 40}.zst\n" for it in there if it.startswith(words[-1][-16:]))

    monkeypatch.setattr(timelines, "STATE", tmp_path / "state")
    monkeypatch.setattr(timelines.server, "leads", lambda _: True)
    monkeypatch.setattr(timelines.server, "ask", lambda *_: [["000000030000000000000006", str(SIZE), "77"]])
    timelines.rescue(told(data_directory=str(tmp_path)), Archive())
    assert sorted(pushed) == ["000000010000000000000004", "00000002.history", "000000020000000000000005"]
