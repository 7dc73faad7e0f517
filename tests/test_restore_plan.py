"""Which backup a restore begins with, on which timeline, and what an interrupted restore goes on from."""

import dataclasses
import functools
import io
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "roles/pgbackrest/files/backup"))
import marker
import plan
import restore
from meaning import meaning
from repository import Backup, BackupError, Info, Repository

NOW = 10_000.0


def backup(label: str, stopped: int, timeline: int = 1, lsn: str = "0/2000000", damaged: bool = False) -> Backup:
    """A full backup of one repository."""
    wal = f"{timeline:08X}0000000000000002"
    return Backup(1, label, "full", stopped - 5, stopped, 2**20, damaged, wal, wal, lsn)


class Archive:
    """Timeline 2 left timeline 1 at 0/5000000; timeline 3 left timeline 1 at 0/3000000, which is a restore: 2 is no ancestor of 3."""

    timelines = (1, 2, 3)

    def lineage(self, timeline: int) -> dict[int, int]:
        """As the history files say."""
        return {1: {1: 2**64}, 2: {2: 2**64, 1: 0x5000000}, 3: {3: 2**64, 1: 0x3000000}}[timeline]


ALL = [
    backup("early", 1000),
    backup("late", 2000, lsn="0/4000000"),
    backup("branch", 3000, 2, "0/6000000"),
    backup("newest", 4000, 3, "0/7000000"),
]


def chosen(**request) -> tuple[str, str]:
    """Label and timeline."""
    found, timeline = plan.choose(plan.Request(**request), ALL, Archive(), NOW)
    return found.label, timeline


def at(seconds: int) -> str:
    """A moment as a person writes it."""
    return datetime.fromtimestamp(seconds, plan.UTC).isoformat()


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({"latest": True}, ("newest", "3")),
        ({"latest": True, "timeline": 2}, ("branch", "2")),
        ({"latest": True, "timeline": 1}, ("late", "1")),
        ({"time": at(1500)}, ("early", "3")),
        # Both the late one and that of the branch were taken before, and neither is of this history.
        ({"time": at(3500)}, ("early", "3")),
        ({"time": at(3500), "timeline": 2}, ("branch", "2")),
        ({"time": at(2500), "timeline": 2}, ("late", "2")),
        ({"label": "branch"}, ("branch", "current")),
        ({"label": "early", "point": "it"}, ("early", "3")),
        ({"label": "branch", "point": "it"}, ("branch", "current")),
    ],
)
def test_the_backup_is_of_the_history_that_is_followed(request_, found):
    assert chosen(**request_) == found


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"time": at(900)}, "no backup is that old: the oldest on timeline 3, early,"),
        ({"time": at(11_000)}, "in the future"),
        ({"label": "nobody"}, "there is no backup nobody; there are: early, late, branch, newest"),
        ({"latest": True, "timeline": 9}, "the archive has the timelines 1, 2, 3 only"),
        ({"label": "branch", "point": "it", "timeline": 3}, "does not belong to timeline 3: its own is 2"),
    ],
)
def test_what_cannot_be_is_said(request_, said):
    with pytest.raises(BackupError, match=said):
        chosen(**request_)


@pytest.mark.parametrize(("label", "followed"), [("early", "3"), ("branch", "2")], ids=["a newer timeline", "one of another branch"])
def test_the_latest_point_is_that_of_what_is_archived_when_the_old_data_goes(monkeypatch, label, followed):
    monkeypatch.setattr(plan, "look", lambda _: Info([], ALL, False, {1: "17-1"}))
    monkeypatch.setattr(plan, "Archive", lambda *_: Archive())
    assert plan.newest({"repository": 1, "label": label, "timeline": "2"}, None) == followed


def test_a_damaged_backup_is_passed_over():
    few = [backup("whole", 1000), backup("broken", 2000, damaged=True)]
    archive = type("One", (), {"timelines": (1,), "lineage": lambda _, timeline: {timeline: 2**64}})()
    assert plan.choose(plan.Request(latest=True), few, archive, NOW)[0].label == "whole"
    with pytest.raises(BackupError, match="damaged pages"):
        plan.choose(plan.Request(label="broken"), few, archive, NOW)


@pytest.mark.parametrize("text", ["2026-11-23T14:05:00Z", "2026-11-23 14:05:00 +00:00", "2026-11-23T15:05+01:00"])
def test_a_moment_is_read_with_its_offset(text):
    assert plan.moment(text).timestamp() == 1795442700


@pytest.mark.parametrize(("text", "said"), [("2026-11-23T14:05:00", "without an offset"), ("last night", "write it as")])
def test_a_moment_without_one_is_refused(text, said):
    with pytest.raises(BackupError, match=said):
        plan.moment(text)


def test_a_file_that_a_living_server_removes_meanwhile_spoils_no_plan(tmp_path, monkeypatch):
    (tmp_path / "stays").write_text("it")
    listed = plan.Path.rglob
    monkeypatch.setattr(plan.Path, "rglob", lambda folder, pattern: [folder / "pgsql_tmp1.0", *listed(folder, pattern)])
    assert plan.used(tmp_path) == (tmp_path / "stays").stat().st_blocks * 512


def test_the_same_goal_goes_on_and_another_begins_again():
    first = {"id": "1", "node": "a"}
    note = marker.merge(None, first) | {"host": "a"}
    assert note["stage"] == "planned" and note["kept"] == ""
    going = note | {"stage": "restoring", "kept": "/aside"}
    assert marker.merge(going, first) == going
    other = marker.merge(going, {"id": "2", "node": "a"})
    assert (other["stage"], other["kept"]) == ("restoring", "/aside")
    # Once it has led, there are rows of applications in it, and the promise to keep them aside is made for them too.
    other = marker.merge(going | {"stage": "leading"}, {"id": "2", "node": "a"})
    assert (other["stage"], other["kept"], other.get("again", False)) == ("planned", "", False)
    # On another member what was copied meanwhile has to go too, and is no old data.
    other = marker.merge(going | {"host": "b", "stage": "cleared"}, {"id": "2", "node": "a"})
    assert (other["stage"], other["kept"], other["again"]) == ("planned", "/aside", True)


def test_a_note_is_whole_or_not_there(tmp_path):
    path = tmp_path / "note.json"
    assert marker.read(path) is None
    marker.write({"stage": "planned"}, path)
    assert json.loads(path.read_text()) == marker.read(path) == {"stage": "planned"}
    assert [it.name for it in tmp_path.iterdir()] == ["note.json"]


def test_settings_of_the_original_that_would_outrank_patroni_go(tmp_path):
    auto = tmp_path / "postgresql.auto.conf"
    theirs = "archive_command='pgbackrest --stanza=original archive-push %p'"
    auto.write_text(f"work_mem = '8MB'\nrestore_command = 'x'\nrecovery_target_time = 'y'\n{theirs}\n")
    restore.tidy(tmp_path)
    assert auto.read_text() == "work_mem = '8MB'\n"


def test_a_pid_that_another_process_has_now_is_no_server(tmp_path):
    assert not restore.running(tmp_path)
    other = subprocess.Popen(["sleep", "60"], cwd="/")
    try:
        (tmp_path / "postmaster.pid").write_text(f"{other.pid}\n")
        assert not restore.running(tmp_path)
    finally:
        other.kill()
        other.wait()


def test_what_a_server_without_power_left_behind_stops_no_restore(tmp_path):
    """pgBackRest refuses (038) where there is a postmaster.pid, whether anybody runs or not."""
    (tmp_path / "postmaster.pid").write_text("999999999\n")
    told = type("Told", (), {"data_directory": str(tmp_path)})()
    assert restore.down(told) == tmp_path
    assert not (tmp_path / "postmaster.pid").exists()
    assert restore.down(type("Told", (), {"data_directory": str(tmp_path / "none")})()) == tmp_path / "none"


UNREAD = "ERROR: [029]: unable to load info file '/pgbackrest/archive/it/archive.info' or '/pgbackrest/archive/it/archive.info.copy': "
REFUSED = "HTTP request failed with 403 (Forbidden): *** Path/Query ***: GET /backups/pgbackrest/archive/it/archive.info"
PEER = "unable to check pg2: [DbConnectError] raised from remote-0 tls protocol on '192.0.2.9'"
PEER_IS_DOWN = f"WARN: {PEER}: unable to connect to 'dbname='postgres''\n"
UNVERIFIED = "CryptoError: unable to verify certificate presented by 'storage:443 (192.0.2.9)'"


# As pgBackRest 2.55 says it; every doubt of it about the encryption is in its answer, whatever the reason was.
@pytest.mark.parametrize(
    ("message", "said"),
    [
        (f"{UNREAD}FormatError: key/value found outside of section at line 1: \x8fu\x01", "the passphrase does not open it"),
        (f"{UNREAD}CryptoError: unable to flush HINT: is or was the repo encrypted?", "the passphrase does not open it"),
        (f"{UNREAD}{UNVERIFIED}: [20] unable to get local issuer HINT: is or was the repo encrypted?", "certificate is not accepted"),
        (f"[CryptoError] {UNVERIFIED}: [10] certificate has expired", "the storage's certificate has expired"),
        (f"{UNREAD}ProtocolError: {REFUSED}", "the storage refuses its keys"),
        (f"{UNREAD}HostConnectError: unable to connect to 'storage:443': [111] Connection refused", "the storage cannot be reached"),
        ("ERROR: [082]: WAL segment 00000001 was not archived before the 60000ms timeout", "ERROR: [082]"),
        (f"{PEER_IS_DOWN}ERROR: [082]: WAL segment 00000001 was not archived before the 60000ms timeout", "ERROR: [082]"),
        (
            f"{PEER_IS_DOWN}ERROR: [056]: [DbConnectError] unable to find primary cluster - cannot proceed",
            "PostgreSQL that has to be asked",
        ),
        (f"{UNREAD}FileMissingError: unable to open missing file", "ERROR: [029]"),
        ("ERROR: [029]: unable to restore from 20261123-140312F, of 404 MB", "ERROR: [029]"),
    ],
)
def test_an_error_is_told_by_what_it_means(message, said):
    assert said in meaning(message).partition(" (pgBackRest says")[0]
    assert meaning(message).isprintable()


def test_the_same_goal_in_another_archive_is_another_goal():
    assert plan.Request(latest=True, stanza="other").goal != plan.Request(latest=True).goal


@pytest.mark.parametrize(("code", "free"), [(plan.NO_PATH, True), (plan.NO_DATA, True), (0, False), (2, False)])
def test_what_comes_from_elsewhere_does_not_write_beside_an_old_archive(monkeypatch, code, free):
    monkeypatch.setattr(plan, "look", lambda _: Info([Repository(1, code, "")], [], False, {}))
    own = type("Own", (), {"stanza": "copy"})()
    if free:
        plan.own_is_free(own)
    else:
        with pytest.raises(BackupError, match="already holds a stanza copy"):
            plan.own_is_free(own)


def test_whoever_brings_the_data_is_not_disturbed(tmp_path, monkeypatch):
    path = tmp_path / "note.json"
    with marker.alone(path):
        assert marker.busy(path)
    assert not marker.busy(path)
    monkeypatch.setattr(marker, "busy", lambda: True)
    monkeypatch.setattr(restore, "down", lambda _: pytest.fail("its server was stopped"))
    restore.settle(None, None)


def test_a_target_that_was_given_while_a_killed_playbooks_command_worked_is_not_forgotten(tmp_path, monkeypatch):
    path, told = tmp_path / "note.json", type("Told", (), {"name": "a", "data_directory": str(tmp_path / "data")})()
    for function in (marker.read, marker.write, marker.alone):
        monkeypatch.setattr(marker, function.__name__, functools.partial(function, **{"path": path}))
    plan_of = {"node": "a", "stanza": "s", "config": "", "keep": False, "goal": "its goal", "timeline": "1", "newest": True}
    fetched, followed = [], []
    monkeypatch.setattr(plan, "newest", lambda *_: "2")

    def fetch(note, _):
        fetched.append(note["id"])
        followed.append(note["timeline"])
        if note["id"] == "1":
            monkeypatch.setattr(restore.sys, "stdin", io.StringIO(json.dumps(plan_of | {"id": "2"})))
            restore.mark(told, None)

    monkeypatch.setattr(restore, "fetch", fetch)
    monkeypatch.setattr(restore, "recover", lambda *_: {"reached": "0/1", "new_timeline": 2, "disabled": []})
    marker.write(plan_of | {"id": "1", "stage": "restoring", "kept": "", "host": "a"})
    with pytest.raises(BackupError, match="another target was given meanwhile"):
        restore.bring(told, None)
    assert (marker.read()["id"], marker.read()["stage"]) == ("2", "restoring")
    restore.bring(told, None)
    assert followed == ["2", "2"], "to the latest point leads the newest timeline of when the data is fetched"
    assert fetched == ["1", "2"] and (marker.read()["id"], marker.read()["stage"]) == ("2", "recovered")


def test_the_old_data_of_another_member_goes_with_its_tablespaces(tmp_path):
    """pg_basebackup and pgBackRest copy into no tablespace that holds something. What is not PostgreSQL's is left alone."""
    data, space = tmp_path / "data", tmp_path / "space"
    (space / "PG_17_202406281/5").mkdir(parents=True)
    (space / "lost+found").mkdir()
    (data / "pg_tblspc").mkdir(parents=True)
    (data / "pg_tblspc/16400").symlink_to(space)
    told = type("Told", (), {"name": "b", "data_directory": str(data)})()
    restore.set_aside(told, {"id": "1", "kept": "", "host": "b", "node": "a"}, False)
    assert list(data.iterdir()) == [] and [it.name for it in space.iterdir()] == ["lost+found"]


def test_wal_that_the_archive_does_not_take_goes_only_when_that_is_meant(tmp_path, monkeypatch):
    (tmp_path / "pg_wal/archive_status").mkdir(parents=True)
    (tmp_path / "pg_wal/archive_status/000000010000000000000003.ready").touch()
    monkeypatch.setattr(marker, "busy", lambda: False)
    monkeypatch.setattr(marker, "read", lambda: {"stage": "planned", "config": ""})
    monkeypatch.setattr(restore, "down", lambda _: tmp_path)
    full = type("Full", (), {"run": lambda *_: subprocess.CompletedProcess((), 1, "", "ERROR: [047]: the disk is full")})()
    with pytest.raises(BackupError, match=r"000000010000000000000003 could not be archived.*-e restore_unarchived_may_go=true"):
        restore.settle(None, full)
    restore.settle(None, full, abandon=True)


# As pgBackRest 2.55 says it when one of two repositories has no such file, and the other does not answer.
SILENT = "P00   WARN: repo1: [HostConnectError] unable to load info file '/archive/it/archive.info'"


@pytest.mark.parametrize(
    ("code", "answer", "said"), [(0, 0, ""), (0, 0, SILENT), (1, 1, ""), (1, 255, SILENT), (49, 255, ""), (103, 255, ""), (-9, 255, "")]
)
def test_an_archive_that_does_not_answer_is_not_taken_for_its_end(tmp_path, code, answer, said):
    """PostgreSQL ends its recovery, and promotes, at whatever a restore_command answers up to 125."""
    program = tmp_path / "pgbackrest"
    program.write_text(f'#!/bin/sh\necho $* > {tmp_path}/asked\necho "{said}"\n{"kill -9 $$" if code < 0 else f"exit {code}"}\n')
    program.chmod(0o755)
    command = restore.asking({"stanza": "it", "config": ""}).replace("%f", "00000002.history").replace("%p", "pg_wal/RECOVERYHISTORY")
    done = subprocess.run(["sh", "-c", command], check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.returncode == answer and said in done.stderr
    assert (tmp_path / "asked").read_text() == "--stanza=it archive-get 00000002.history pg_wal/RECOVERYHISTORY\n"


@pytest.mark.parametrize("silent", [False, True])
def test_a_repository_that_cannot_be_read_is_told_before_and_not_asked(tmp_path, monkeypatch, silent):
    """What it has more of will be missing."""
    states = [Repository(1, plan.OTHER if silent else 0, "HostConnectError: unable to connect" if silent else ""), Repository(2, 0, "")]
    found = [it for number in ((2,) if silent else (1, 2)) for it in [dataclasses.replace(ALL[-1], repository=number)]]
    monkeypatch.setattr(plan, "look", lambda _: Info(states, found, False, {1: "17-1", 2: "17-1"}))
    monkeypatch.setattr(plan, "Archive", lambda *_: Archive())
    monkeypatch.setattr(plan, "room", lambda *_: True)
    told = type("Told", (), {"name": "a", "stanza": "s"})()
    made = plan.plan(told, plan.Request(latest=True), NOW)
    assert made["repository"] == (2 if silent else 1)
    assert len(made["warns"]) == silent and all("the storage cannot be reached" in it for it in made["warns"])
    assert (" --repo=2 archive-get " in restore.asking(made)) == silent
    # Run again, it goes on without one that is away by now, and with one that is back.
    begun = made | {"stage": "restoring", "kept": "", "host": "a"}
    assert marker.merge(begun, made | {"alone": not silent}) == begun | {"alone": not silent}


def test_the_private_server_asks_the_archive_so(tmp_path, monkeypatch):
    bins, data = tmp_path / "bin", tmp_path / "data"
    for folder in (bins, data):
        folder.mkdir()
    stopped = f"""{UNREAD}HostConnectError: unable to connect to 'storage:443'
FATAL:  could not restore file "000000010000000000000004" from archive: child process exited with exit code 255"""
    for name, script in {
        "pg_ctl": f"printf '%s\\n' \"$*\" > {tmp_path}/options\ncat > \"$4\" <<'END'\n{stopped}\nEND",
        "pg_isready": "exit 1",
    }.items():
        (bins / name).write_text(f"#!/bin/sh\n{script}\n")
        (bins / name).chmod(0o755)
    monkeypatch.setattr(restore, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(restore, "programs", lambda _: bins)
    monkeypatch.setattr(restore, "sizes", lambda _: {})
    monkeypatch.setattr(restore.time, "sleep", lambda _: None)
    monkeypatch.setattr(restore.time, "monotonic", iter(range(0, 1000, 10)).__next__)
    note = {"stanza": "it", "config": "/other.conf", "timeline": "3", "label": "label", "goal": "the latest point of the archive"}
    with pytest.raises(BackupError, match="nothing was promoted: the storage cannot be reached"):
        restore.recover(note, data)
    options = (tmp_path / "options").read_text()
    assert '-c restore_command=\'said=$(pgbackrest --stanza=it --config=/other.conf archive-get %f "%p" 2>&1); code=$?; ' in options
