"""Which segments a recovery across promotions needs, from history files as PostgreSQL writes them."""

import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "roles/pgbackrest/files/backup"))
import schedule
import timelines
from repository import Backup
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
