"""What a rehearsed restore refuses, stops and finds, with programs of PostgreSQL and a pgBackRest that do as they are told."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "roles/pgbackrest/files/backup"))
import rehearsal
import restore
from repository import Backup, BackupError, Info, PgBackRest
from settings import Settings

MB, SIZE = 2**20, 16 * 2**20
# The member has replayed up to the middle of segment 6, so the copy has to reach the end of segment 5.
POSITION = [["0/6800000", "1", str(SIZE)]]
REACHED = "redo done at 0/5FFFFB8"
PROGRAMS = {
    "pg_controldata": "echo 'max_prepared_xacts setting:           7'",
    # --pgdata DATA --log LOG --no-wait --options=… start; --pgdata DATA status; --pgdata DATA --mode=immediate stop
    "pg_ctl": f"""case "$*" in
      *start) touch "$2/up"; printf '%s\\n' "$*" > "$TOLD/options"; echo "{REACHED}" > "$4" ;;
      *status) test -f "$2/up" ;;
      *stop) rm -f "$2/up" ;;
    esac""",
    "pg_isready": "exit 0",
    "pg_amcheck": "exit 0",
    "pgbackrest": 'printf "%s\\n" "$*" >> "$TOLD/restores"',
}
FILLS = 'touch "$TOLD/filling"; exec sleep 15'
STARTS = 'touch "$TOLD/filling"; echo >> "$TOLD/asked"; test $(wc -l < "$TOLD/asked") -gt 30'


class Archive(PgBackRest):
    """It has one backup in each repository that is not away, and every segment."""

    def __init__(self, program: Path, away: tuple[int, ...] = ()) -> None:
        super().__init__("s")
        self.base, self.away = [str(program), "--stanza=s"], away

    def info(self, *options: str) -> Info:
        (repository,) = (int(it.removeprefix("--repo=")) for it in options if it.startswith("--repo="))
        if repository in self.away:
            raise BackupError(f"repository {repository} cannot be read: the storage cannot be reached")
        wal = "000000010000000000000003"
        return Info([], [Backup(repository, "label", "full", 1, 2, 100 * MB, False, wal, wal)], False, {repository: "17-1"})

    def must(self, *_: str) -> str:
        return "".join(f"00000001000000000000000{it}-{'0' * 40}.zst\n" for it in range(3, 6))


class Host:
    """A member whose turn it is."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.free, self.rank = folder, 5000, 0
        bins = folder / "programs/17/bin"
        bins.mkdir(parents=True)
        (folder / "data").mkdir()
        (folder / "data/PG_VERSION").write_text("17\n")
        for name, script in PROGRAMS.items():
            self.program(name, script)
        monkeypatch.setenv("TOLD", str(folder))
        for name, path in {"PROGRAMS": "programs", "PLACE": "place", "RESULT": "result.json"}.items():
            monkeypatch.setattr(rehearsal, name, folder / path)
        monkeypatch.setattr(rehearsal, "LOOK", 0.1)
        monkeypatch.setattr(rehearsal, "START", 0)
        monkeypatch.setattr(restore, "programs", lambda _: bins)
        monkeypatch.setattr(rehearsal.server, "rank", lambda _: self.rank)
        monkeypatch.setattr(rehearsal.server, "ask", lambda *_: POSITION)
        monkeypatch.setattr(rehearsal.shutil, "disk_usage", self.disk_usage)

    def program(self, name: str, script: str) -> None:
        path = self.folder / "programs/17/bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def disk_usage(self, _):
        free = 100 if (self.folder / "filling").exists() else self.free
        return SimpleNamespace(free=free * MB)

    def rehearse(self, repositories=(1,), away=()) -> None:
        settings = Settings("s", "a", {}, str(self.folder / "data"), 1, "", list(repositories), 168, 24, 0.5, 5, 1024, processes=3)
        rehearsal.rehearse(settings, Archive(self.folder / "programs/17/bin/pgbackrest", away))

    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text())


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_a_restore_is_rehearsed_within_the_bounds_of_a_backup(host, capsys):
    host.rehearse()
    assert "label was restored up to 0/6000000" in capsys.readouterr().out
    assert host.result()["ok"] and not (host.folder / "place").exists()
    assert "--process-max=3" in (host.folder / "restores").read_text()
    options = (host.folder / "options").read_text()
    # Else a session's library is loaded by pg_amcheck, and a prepared transaction ends the recovery.
    assert "-c session_preload_libraries=''" in options and "-c max_prepared_transactions='7'" in options


def test_short_room_is_refused_before_anything_is_fetched(host):
    # 100 MB of database, 1024 for its WAL and as much that stays free.
    host.free = 2147
    with pytest.raises(BackupError, match="has 2147 MB free; the rehearsal of label needs 2148 MB, of which 1024 stay free"):
        host.rehearse()
    assert not (host.folder / "restores").exists() and host.result()["ok"] is False
    host.free = 2148
    host.rehearse()


@pytest.mark.parametrize("program", ["pgbackrest", "pg_isready", "pg_amcheck"], ids=["restore", "recovery", "check"])
def test_a_disk_that_runs_full_meanwhile_ends_it(host, program):
    host.program(program, FILLS if program != "pg_isready" else STARTS)
    began = time.monotonic()
    with pytest.raises(BackupError, match="stopped: less than 1024 MB were left"):
        host.rehearse()
    assert time.monotonic() - began < 12
    assert not (host.folder / "place").exists() and "stopped" in host.result()["reason"]


def test_a_point_that_is_not_reached_is_red(host):
    host.program("pg_ctl", PROGRAMS["pg_ctl"].replace("0/5FFFFB8", "0/4FFFFB8"))
    with pytest.raises(BackupError, match="ended at 0/4FFFFB8, before 0/6000000: WAL is missing"):
        host.rehearse()
    assert host.result()["ok"] is False


def test_a_server_that_does_not_start_is_red(host):
    host.program("pg_isready", "exit 1")
    host.program("pg_ctl", 'case "$*" in *start) echo "FATAL:  no such file" > "$4" ;; *) exit 3 ;; esac')
    with pytest.raises(BackupError, match="did not start: FATAL:  no such file"):
        host.rehearse()


def test_damage_is_red(host):
    host.program("pg_amcheck", "echo 'btree index \"postgres.public.b\": invalid page in block 3'; exit 2")
    with pytest.raises(BackupError, match=r"pg_amcheck found damage in label: btree index .* invalid page in block 3"):
        host.rehearse()
    assert host.result()["ok"] is False


def test_files_that_cannot_be_fetched_are_red(host):
    host.program("pgbackrest", "echo 'ERROR: [029]: unable to restore' >&2; exit 29")
    with pytest.raises(BackupError, match=r"label cannot be restored: ERROR: \[029\]"):
        host.rehearse()


def test_a_repository_that_is_away_keeps_no_rehearsal_from_the_others(host, capsys):
    with pytest.raises(BackupError, match="repository 1 cannot be read"):
        host.rehearse((1, 2), away=(1,))
    assert "repository 2: label was restored" in capsys.readouterr().out
    told = host.result()
    assert (told["ok"], [it["ok"] for it in told["repositories"]]) == (False, [False, True])


@pytest.mark.parametrize("ok", [True, False])
def test_a_failure_ends_when_it_is_anothers_turn(host, ok):
    (host.folder / "result.json").write_text(json.dumps({"ok": ok, "at": 1}))
    host.rank = 1
    host.rehearse()
    assert (host.folder / "result.json").exists() is ok


def test_a_server_that_takes_its_time_is_not_given_up(host, monkeypatch):
    monkeypatch.setattr(rehearsal, "START", 5)
    host.program("pg_isready", 'echo >> "$TOLD/asked"; test $(wc -l < "$TOLD/asked") -gt 3')
    host.program("pg_ctl", PROGRAMS["pg_ctl"].replace('test -f "$2/up"', 'test $(wc -l < "$TOLD/asked") -gt 2'))
    host.rehearse()
    assert host.result()["ok"]


def test_two_rehearsals_do_not_share_the_place(host):
    host.program("pgbackrest", 'flock --nonblock "$TOLD/result.lock" true && exit 29; true')
    host.rehearse()
    assert host.result()["ok"]


def test_what_a_rehearsal_without_power_left_goes_when_it_is_anothers_turn(host):
    (host.folder / "place/data").mkdir(parents=True)
    host.rank = 1
    with rehearsal.marker.alone(rehearsal.RESULT):
        host.rehearse()
        assert (host.folder / "place").exists(), "somebody works there"
    host.rehearse()
    assert not (host.folder / "place").exists()
