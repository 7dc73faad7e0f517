"""When a standby leaves the archive alone, and when it asks it: what restore_command begins with, on made-up data directories."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "roles/patroni/files/wal-at-hand"
WRITTEN, NEXT = "00000005000000000000001A", "00000005000000000000001B"
CONFIGURATION = (Path(__file__).parents[1] / "roles/patroni/vars/main/configuration.yml").read_text()


@pytest.fixture
def data(tmp_path):
    """A standby on timeline 5 that received WAL a moment ago."""
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "standby.signal").touch()
    (tmp_path / "postmaster.pid").write_text("7\n/data\n1764000000\n5432\n/run/postgresql\n10.0.0.1\n  5 6\nready   \n")
    (tmp_path / "pg_wal/00000005.history").write_text("4\t0/1A000000\tno recovery target specified\n")
    (tmp_path / "pg_wal" / WRITTEN).write_bytes(b"\0" * 16)
    return tmp_path


def at_hand(data, file, seconds=30):
    return subprocess.run([PROGRAM, file, str(seconds)], cwd=data, check=False).returncode == 0


def age(data, seconds):
    then = time.time() - seconds
    os.utime(data / "pg_wal" / WRITTEN, (then, then))


@pytest.mark.parametrize("file", [WRITTEN, "00000005.history", "00000006.history"])
def test_what_a_promotion_wants_is_at_hand(data, file):
    assert at_hand(data, file)


@pytest.mark.parametrize("file", [NEXT, "00000004000000000000001A", "00000007.history", "00000004.history", "nonsense"])
def test_what_it_has_not_got_is_asked_for(data, file):
    assert not at_hand(data, file)


def test_a_tenth_timeline_is_counted_as_postgresql_writes_it(data):
    (data / "pg_wal/00000009000000000000001A").touch()
    assert at_hand(data, "0000000A.history")
    (data / "pg_wal/0000000A000000000000001A").touch()
    assert at_hand(data, "0000000B.history")


@pytest.mark.parametrize("file", [WRITTEN, "00000006.history"])
@pytest.mark.parametrize("seconds", [31, -3600], ids=["long ago", "by a clock that was set back"])
def test_a_standby_that_was_away_asks_the_archive(data, file, seconds):
    age(data, seconds)
    assert not at_hand(data, file)


@pytest.mark.parametrize("file", [WRITTEN, "00000005.history", "00000006.history"])
def test_a_restore_and_pg_rewind_ask_the_archive(data, file):
    pid = data / "postmaster.pid"
    ready = pid.read_text()
    pid.unlink()
    assert not at_hand(data, file)
    pid.write_text(ready)
    assert at_hand(data, file)
    (data / "recovery.signal").touch()
    assert at_hand(data, file), "a standby that was copied from the repository keeps that file"
    (data / "standby.signal").unlink()
    assert not at_hand(data, file)
    (data / "recovery.signal").unlink()
    # A promotion ends with a question for the history of its own timeline, which is there and never changes.
    assert at_hand(data, file) is (file == "00000005.history")


@pytest.fixture
def starting(data):
    """The same server while it starts."""
    pid = data / "postmaster.pid"
    pid.write_text(pid.read_text().replace("ready   ", "starting"))
    return data


def test_a_start_goes_by_its_own_timeline(starting):
    assert at_hand(starting, "00000006.history")
    assert at_hand(starting, "0000000A.history")
    assert at_hand(starting, "00000005.history")
    for file in (WRITTEN, NEXT, "00000004.history"):
        assert not at_hand(starting, file)
    (starting / "pg_wal/00000005.history").unlink()
    assert not at_hand(starting, "00000005.history")


def test_a_copy_asks_the_archive_for_newer_timelines(starting):
    (starting / "backup_label").touch()
    assert not at_hand(starting, "00000006.history")
    (starting / "backup_label").unlink()
    (starting / "pg_wal" / WRITTEN).unlink()
    assert not at_hand(starting, "00000006.history")


@pytest.mark.parametrize(("program", "asked"), [("true", False), ("false", True), ("/nowhere/wal-at-hand", True)])
def test_the_archive_is_asked_unless_it_is_said_that_all_is_there(program, asked):
    """The form of restore_command, with a program that says yes, one that says no, and one that is missing."""
    form = "! {program} %f 30 2>/dev/null && exec "
    seconds = "{{ __patroni_timing.ttl | default(20) | int + 10 }}"
    assert form.replace("30", seconds).replace("{program}", "{{ __patroni_wal_at_hand }}") in CONFIGURATION
    done = subprocess.run(["sh", "-c", f"{form.format(program=program)}echo asked"], capture_output=True, text=True, check=False)
    assert (done.stdout == "asked\n") is asked
    # Beyond 125 PostgreSQL would end its recovery.
    assert done.returncode == (0 if asked else 1)


@pytest.mark.parametrize(("signals", "code"), [(["standby"], 124), (["recovery"], 0), ([], 0), (["recovery", "standby"], 124)])
def test_a_storage_that_does_not_answer_keeps_a_standby_for_a_while_and_a_restore_for_good(tmp_path, signals, code):
    """With a second for the ten, and a pgBackRest that answers after three."""
    (bounded,) = re.findall(r'^__patroni_bounded: "(.*)"$', CONFIGURATION, re.MULTILINE)
    for it in signals:
        (tmp_path / f"{it}.signal").touch()
    command = f"exec {bounded.replace(' 10)', ' 1)')}sleep 3"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False).returncode == code
