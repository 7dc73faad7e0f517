"""What a deploy does for its archive, with a pgBackRest that answers as the real one does."""

import dataclasses
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "roles/pgbackrest/files/backup"))
import ensure
import server
import status
from repository import LOCKED, NO_BACKUP, Backup, BackupError, Info, PgBackRest, Repository
from settings import Settings

VALUES = {"stanza": "s", "name": "a", "members": {}, "data_directory": "", "port": 1, "socket_directory": "", "repositories": [1, 2]}
TOLD = Settings(**VALUES, full_hours=168, differential_hours=24, grace_hours=0.5, stagger_seconds=5, minimum_free_mb=1)
# Seconds that the archiver may lose when it meets stanza-create: one archive-timeout of archive-push, then a pause of PostgreSQL's own.
LOST = 60 + 60
SEGMENT = f"{1:08X}0000000000000009"


class Late:
    """Its archive has no stanza and no backup yet, and the first segment arrives after so many seconds."""

    def __init__(self, seconds):
        self.seconds, self.stanza, self.backups = seconds, False, []

    def info(self, *_):
        return Info([Repository(it, NO_BACKUP, "no valid backups") for it in (1, 2)] if self.stanza else [], self.backups, False, {})

    def must(self, *arguments):
        given = [int(it.split("=")[1]) for it in arguments if it.startswith("--archive-timeout=")]
        if self.seconds > (given or [60])[0]:
            raise BackupError("[082]: WAL segment was not archived before the timeout")

    def patiently(self, *arguments):
        assert arguments == ("stanza-create",)
        self.stanza = True

    def run(self, *arguments):
        repository = int(arguments[0].removeprefix("--repo="))
        self.backups.append(Backup(repository, "label", "full", 1, 1, 1, False, SEGMENT, SEGMENT))
        said = "P00   INFO: new backup label = label\nP00   INFO: backup command end: completed successfully (5787ms)\n"
        return subprocess.CompletedProcess(arguments, 0, said, "")


@pytest.fixture(autouse=True)
def _a_leader_without_a_restore(monkeypatch, tmp_path):
    monkeypatch.setattr(ensure.taking, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(ensure.server, "leads", lambda _: True)
    monkeypatch.setattr(ensure.marker, "read", lambda: None)
    monkeypatch.setattr(ensure, "PAUSE", 0)


def test_a_deploy_outlasts_an_archiver_that_met_the_lock_of_stanza_create(capsys):
    ensure.ensure(TOLD, Late(LOST))
    assert capsys.readouterr().out.splitlines() == [
        "the stanza was created",
        "repository 1: took the first full backup",
        "repository 2: took the first full backup",
    ]


def test_a_standby_says_that_it_was_not_the_one_to_look(monkeypatch, capsys):
    """By it the role knows when nobody was."""
    monkeypatch.setattr(ensure.server, "leads", lambda _: False)
    ensure.ensure(TOLD, None)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "a does not lead\n")


@pytest.mark.parametrize(("timeline", "taken"), [(4, 2), (5, 0)], ids=["of the old cluster", "of the restored one"])
def test_a_full_backup_that_began_before_the_old_cluster_ended_does_not_follow_the_restore(monkeypatch, capsys, timeline, taken):
    archive = Late(0)
    archive.stanza = True
    segment = f"{timeline:08X}0000000000000009"
    archive.backups = [Backup(it, "between", "full", 20, 30, 1, False, segment, segment) for it in (1, 2)]
    monkeypatch.setattr(ensure.marker, "read", lambda: {"at": 10, "new_timeline": 5})
    ensure.ensure(TOLD, archive)
    assert len(capsys.readouterr().out.splitlines()) == taken


def test_one_repository_that_is_away_hides_nothing_of_the_other(monkeypatch, capsys):
    states = [{"key": 1, "status": {"code": 99, "message": "[HostConnectError] no"}}, {"key": 2, "status": {"code": 0, "message": "ok"}}]
    backup = {"database": {"repo-key": 2}, "label": "it", "type": "full", "timestamp": {"start": 1, "stop": 2}, "info": {"size": 3}}
    backup |= {"archive": {"start": "", "stop": ""}}
    said = [{"repo": states, "backup": [backup], "status": {"code": 99, "message": "mixed", "lock": {"backup": {"held": False}}}}]
    archive = PgBackRest("s")
    monkeypatch.setattr(archive, "must", lambda *_: json.dumps(said))
    monkeypatch.setattr(status.server, "ask", lambda *_: [["t", "", "", "0", "f"]])
    status.status(TOLD, archive)
    away, there = json.loads(capsys.readouterr().out)["repositories"]
    assert (away["newest"], list(there["newest"])) == ({}, ["full"]) and "the storage cannot be reached" in away["message"]


class Busy(Late):
    """The schedule's unit holds the lock for so many looks; its backup, of this kind, is in the list so many later."""

    def __init__(self, held, later, kind="full"):
        super().__init__(0)
        self.stanza, self.held, self.later, self.kind, self.tried = True, held, later, kind, []

    def info(self, *_):
        found = super().info()
        if not self.tried:
            return found
        self.held -= 1
        if self.held + self.later < 0 and not self.backups:
            self.backups.extend(Backup(it, "other", self.kind, 1, 1, 1, False, SEGMENT, SEGMENT) for it in (1, 2))
        return dataclasses.replace(super().info(), running=self.held >= 0)

    def run(self, *arguments):
        self.tried.append(arguments)
        if self.held >= 0:
            return subprocess.CompletedProcess(arguments, LOCKED, "", "[050]: unable to acquire lock")
        return super().run(*arguments)


@pytest.mark.parametrize(("held", "later"), [(1, 0), (1, 1), (1000, 1)])
def test_the_first_backup_may_be_the_schedules(capsys, held, later):
    """Its unit fired between stanza-create and ensure's own look at the lock. It lets go of the lock before its backup is in the list."""
    archive = Busy(held, later)
    ensure.ensure(TOLD, archive)
    assert capsys.readouterr().out == "" and len(archive.tried) == 1
    assert [it.label for it in archive.backups] == ["other"] * 2


@pytest.mark.parametrize("held", [1, 1000])
def test_after_a_restore_the_schedules_differential_one_is_waited_for_and_does_not_count(monkeypatch, capsys, held):
    monkeypatch.setattr(ensure.marker, "read", lambda: {"at": 0})
    archive = Busy(held, 0, "diff")
    ensure.ensure(TOLD, archive)
    assert len(capsys.readouterr().out.splitlines()) == 2 and len(archive.tried) == 3
    assert [it.label for it in archive.backups if it.kind == "full"] == ["label"] * 2


def test_an_archive_that_gets_nothing_is_red():
    with pytest.raises(BackupError, match="082"):
        ensure.ensure(TOLD, Late(10**6))


@pytest.mark.skipif(shutil.which("psql") is None, reason="no psql here")
def test_a_server_that_hangs_is_told_as_one_that_does_not_run(monkeypatch, tmp_path):
    """It takes the connection, as a stopped postmaster does."""
    monkeypatch.setattr(server, "PATIENCE", "2")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / ".s.PGSQL.1"))
        silent.listen()
        with pytest.raises(server.NotRunning, match="timeout expired"):
            server.ask(dataclasses.replace(TOLD, socket_directory=str(tmp_path)), "SELECT 1")
