"""When a node takes the backup that is due, and when it leaves that to another."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "roles/pgbackrest/files/backup"))
import schedule
from repository import LOCKED, Backup, BackupError, Info, Repository
from settings import Settings

VALUES = {"stanza": "s", "name": "a", "members": {}, "data_directory": "", "port": 1, "socket_directory": "", "repositories": [1]}
TOLD = Settings(**VALUES, full_hours=168, differential_hours=24, grace_hours=0.5, stagger_seconds=5, minimum_free_mb=1)
REFUSED = subprocess.CompletedProcess((), LOCKED, "", "ERROR: [050]: [LockAcquireError] unable to acquire lock")
FAILED = subprocess.CompletedProcess((), 39, "", "ERROR: [039]: HTTP request failed with 507")
TAKEN = subprocess.CompletedProcess((), 0, "new backup label = label\nbackup command end: completed successfully", "")


class Node:
    """What `info` says of a lock at each look, the last for ever; and how each backup ends that is tried, the last for ever."""

    def __init__(self, locks, ends):
        self.locks, self.ends, self.tried = list(locks), list(ends), 0

    def info(self, *_):
        backups = [Backup(1, "label", "full", 1, 1, 1, False, "", "")] if self.tried and self.ends == [TAKEN] else []
        return Info([Repository(1, 0, "ok")], backups, self.locks.pop(0) if len(self.locks) > 1 else self.locks[0], {})

    def run(self, *_):
        self.tried += 1
        return self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(schedule.time, "sleep", lambda _: None)
    monkeypatch.setattr(schedule.taking, "KEPT", tmp_path / "kept.json")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_lock_that_goes_at_the_last_look_does_not_cost_an_hour(rank):
    node = Node([True] * 5 + [False], [TAKEN])
    assert schedule.take(TOLD, node, 1, rank) == "repository 1: took a backup of type full"


def test_one_that_holds_its_lock_all_the_while_is_left_alone():
    node = Node([True], [TAKEN])
    assert schedule.take(TOLD, node, 1, 1) == "repository 1: another node is taking a backup" and node.tried == 0


@pytest.mark.parametrize(("rank", "tries"), [(0, 6), (1, 5)])
def test_a_failure_that_is_no_lock_is_tried_again_and_told(rank, tries):
    node = Node([False], [FAILED])
    with pytest.raises(BackupError, match="repository 1: backup failed"):
        schedule.take(TOLD, node, 1, rank)
    assert node.tried == tries


def test_two_that_refuse_each_other_are_not_red():
    node = Node([False], [REFUSED])
    assert schedule.take(TOLD, node, 1, 0) == "repository 1: another node is taking a backup"
    assert 1 < node.tried <= schedule.ATTEMPTS
