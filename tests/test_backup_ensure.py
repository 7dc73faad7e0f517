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
import repository
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

    def outlast(self, *arguments, enough=None, attempts=None):
        repository = int(arguments[0].removeprefix("--repo="))
        self.backups.append(Backup(repository, "label", "full", 1, 1, 1, False, SEGMENT, SEGMENT))
        said = "P00   INFO: new backup label = label\nP00   INFO: backup command end: completed successfully (5787ms)\n"
        return subprocess.CompletedProcess(arguments, 0, said, "")


@pytest.fixture(autouse=True)
def _a_leader_without_a_restore(monkeypatch, tmp_path):
    monkeypatch.setattr(ensure.taking, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(ensure.server, "leads", lambda _: True)
    monkeypatch.setattr(ensure.marker, "read", lambda: None)


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


def test_the_first_backup_may_be_the_schedules(capsys):
    """Its unit fired between stanza-create and ensure's own look at the lock."""

    class Busy(Late):
        def outlast(self, *arguments, enough=None, attempts=None):
            assert not enough()
            super().outlast(*arguments)
            assert enough()
            return subprocess.CompletedProcess(arguments, LOCKED, "", "[050]: unable to acquire lock")

    archive = Busy(0)
    ensure.ensure(TOLD, archive)
    assert capsys.readouterr().out.splitlines() == ["the stanza was created"]
    assert len(archive.backups) == len(TOLD.repositories)


@pytest.mark.parametrize("held", [2, 500])
def test_a_deploy_waits_for_a_backup_that_runs_however_long_it_takes(monkeypatch, capsys, held):
    """After a restore the schedule's may be a differential one, which does not count; or a full one of a run that lost its connection."""
    archive, answers = Late(0), iter([LOCKED] * held)
    archive.stanza = True
    monkeypatch.setattr(ensure.marker, "read", lambda: {"at": 0})
    monkeypatch.setattr(repository.time, "sleep", lambda _: None)
    real, done = PgBackRest("s"), archive.outlast
    monkeypatch.setattr(real, "info", archive.info)
    monkeypatch.setattr(real, "must", archive.must)

    def run(*arguments):
        code = next(answers, 0)
        return subprocess.CompletedProcess(arguments, code, "", "[050]: unable to acquire lock") if code else done(*arguments)

    monkeypatch.setattr(real, "run", run)
    for it in (1, 2):
        archive.backups.append(Backup(it, "diff", "diff", 1, 1, 1, False, "", ""))
    ensure.ensure(TOLD, real)
    assert len(capsys.readouterr().out.splitlines()) == 2


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
