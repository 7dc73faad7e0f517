"""What the modules of a living cluster refuse and state, apart from any host."""

import contextlib
import io
import json
import os
import subprocess
import time
import types

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.elephant.ha.plugins.module_utils import copying, units
from ansible_collections.elephant.ha.plugins.modules import patroni_failover as failover
from ansible_collections.elephant.ha.plugins.modules import patroni_info as info
from ansible_collections.elephant.ha.plugins.modules import patroni_reinit as reinit
from ansible_collections.elephant.ha.plugins.modules import patroni_switchover as switchover

MIB = 2**20
LEADER = {"name": "db-1", "role": "leader", "state": "running", "timeline": 3}
STANDBY = {"name": "db-2", "role": "sync_standby", "state": "streaming", "timeline": 3}
CLUSTER = {"members": [LEADER, STANDBY]}
OWN = {
    "db-1": {"role": "primary", "state": "running", "xlog": {"location": 100 * MIB}},
    "db-2": {"role": "replica", "state": "running", "xlog": {"received_location": 100 * MIB, "replayed_location": 99 * MIB}},
}


def test_a_healthy_cluster_may_hand_over():
    assert switchover.lead_problems(["db-1", "db-2"], CLUSTER, OWN) == []
    assert switchover.target_problems("db-2", CLUSTER, OWN, 64 * MIB) == []


@pytest.mark.parametrize(
    ("names", "cluster", "own", "sentence"),
    [
        (["db-1", "db-3"], CLUSTER, OWN, "etcd knows the members db-1, db-2, the inventory has db-1, db-3"),
        (["db-1", "db-2"], {"members": [STANDBY]}, OWN, "no running leader"),
        (["db-1", "db-2"], {"members": [LEADER | {"state": "starting"}, STANDBY]}, OWN, "no running leader"),
        (["db-1", "db-2"], {}, {}, "no running leader"),
        (["db-1", "db-2"], CLUSTER | {"pause": True}, OWN, "paused"),
        (["db-1", "db-2"], CLUSTER, OWN | {"db-2": {}}, "db-2 does not answer"),
        (["db-1", "db-2"], CLUSTER, OWN | {"db-2": {"role": "primary"}}, "etcd says that db-1 leads, and of themselves db-1, db-2"),
        (["db-1", "db-2"], CLUSTER, OWN | {"db-1": {"role": "replica"}}, "of themselves nobody"),
    ],
)
def test_nobody_hands_over_unless_it_is_certain_who_leads(names, cluster, own, sentence):
    assert sentence in " ".join(switchover.lead_problems(names, cluster, own))


@pytest.mark.parametrize(
    ("target", "standby", "own", "sentence"),
    [
        ("", STANDBY, {}, "no synchronous standby"),
        ("db-9", STANDBY, {}, "db-9 is no member"),
        ("db-1", STANDBY, {}, "leads already"),
        ("db-2", STANDBY | {"role": "replica"}, {}, "db-2 is no synchronous standby (those are: none)"),
        ("db-2", STANDBY | {"state": "running"}, {}, "does not stream"),
        ("db-2", STANDBY | {"timeline": 2}, {}, "timeline 2, the leader on 3"),
        ("db-2", STANDBY | {"tags": {"nofailover": True}}, {}, "nofailover"),
        ("db-2", STANDBY, {"replayed_location": 20 * MIB}, "80 MiB of WAL to replay, more than 64"),
        ("db-2", STANDBY, {"replayed_location": 100 * MIB, "paused": True}, "paused its replay"),
    ],
)
def test_a_target_that_is_not_fit_is_refused(target, standby, own, sentence):
    words = OWN | {"db-2": {"role": "replica", "xlog": OWN["db-2"]["xlog"] | own}}
    assert sentence in " ".join(switchover.target_problems(target, {"members": [LEADER, standby]}, words, 64 * MIB))


def test_the_pause_is_the_longest_time_between_two_acknowledgements():
    assert switchover.longest_gap([1.0, 1.5, 4.0, 4.25]) == 2.5
    assert switchover.longest_gap([1.0]) == switchover.longest_gap([]) == 0


BEHIND = failover.Standby("db-2", "2026-11-23T15:00:00+00:00", 3, 40 * MIB, 16 * MIB)
PREFIX = "/service/elephant/"


@pytest.mark.parametrize(
    ("newest", "sentence"),
    [
        ("000000030000000000000002", "the archive has nothing to add"),  # ends at 48 MiB: the segment that the standby is in
        ("000000030000000000000004", "40.0 MiB after it: let db-2 replay that first"),  # ends at 80 MiB
        ("000000040000000000000001", "another member has led"),
        ("", "it is empty"),
    ],
)
def test_the_end_of_the_archive_is_compared_with_what_the_standby_has(newest, sentence):
    assert sentence in failover.of_archive(BEHIND, failover.Archive(newest))


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([{"name": "db-1", "timeline": 4}, {"name": "db-2", "timeline": 4}], "the archive has nothing to add"),
        ([{"name": "db-2", "timeline": 3}], "another member has led"),
        ([{"name": "db-2"}], "another member has led"),
    ],
    ids=["it follows the newest", "it missed that", "nobody knows"],
)
def test_a_standby_that_followed_a_new_leader_is_not_called_left_behind(members, sentence):
    """Its control file names the old timeline until the next restartpoint."""
    has = {"commit": None, "timeline": 3, "replayed": 40 * MIB, "received": 40 * MIB, "segment": 16 * MIB}
    standby = failover.standby_of("db-2", has, {"members": members})
    assert sentence in failover.of_archive(standby, failover.Archive("000000040000000000000002"))


def test_without_backups_or_an_answer_it_is_said_that_nothing_is_known():
    assert "There are no backups" in failover.of_archive(BEHIND, None)
    assert "could not be asked (no route)" in failover.of_archive(BEHIND, failover.Archive(why="no route"))


@pytest.mark.parametrize(
    ("keys", "sentences"),
    [
        ({"status": '{"optime": 44040192}', "sync": '{"sync_standby": null}'}, ["lacks 2.0 MiB of WAL at least", "etcd names nobody"]),
        ({"status": '{"optime": 41943040}', "sync": '{"sync_standby": "db-3"}'}, ["which db-2 has", "etcd names db-3"]),
        ({"sync": '{"sync_standby": "db-2"}'}, ["no acknowledged row is missing"]),
        ({}, ["will be lost"]),
    ],
)
def test_what_etcd_knows_of_the_lost_leader_is_stated(keys, sentences):
    said = " ".join(failover.of_leader(BEHIND, {PREFIX + key: value for key, value in keys.items()}, PREFIX))
    assert not [it for it in sentences if it not in said], said


def test_a_segment_is_placed_by_its_name():
    assert failover.segment_end("0000000300000001000000FF", 16 * MIB) == (3, 2 * 2**32)
    assert failover.lsn(2**32 + 255) == "1/FF"


@pytest.mark.parametrize(
    ("cluster", "own", "sentence"),
    [
        ({}, {}, "does not answer"),
        (CLUSTER, OWN, "db-1 leads"),
        ({"members": [STANDBY]}, {"db-1": OWN["db-1"]}, "db-1 leads"),
        ({"members": [STANDBY | {"role": "leader"}]}, {}, "db-2 leads already"),
        ({"members": [STANDBY], "pause": True}, {}, "paused"),
        ({"members": [STANDBY | {"name": "db-3"}]}, {}, "db-2 is no member"),
        ({"members": [STANDBY | {"role": "replica"}]}, {"db-2": OWN["db-2"]}, ""),
    ],
)
def test_nobody_is_promoted_while_somebody_leads(cluster, own, sentence):
    said = failover.refusal("db-2", cluster, own)
    assert (sentence in said) if sentence else said == ""


class Silent(Exception):
    """Stands for psycopg2.Error."""


@pytest.mark.parametrize("answers", [True, False])
def test_nobody_is_promoted_beside_a_postgresql_that_takes_writes(monkeypatch, answers):
    """Its Patroni is dead, so neither etcd nor anybody's REST API knows of it."""

    def connect(connection):
        if not answers:
            raise Silent
        return types.SimpleNamespace(info=types.SimpleNamespace(host="192.0.2.21"), close=lambda: None)

    monkeypatch.setattr(failover, "psycopg2", types.SimpleNamespace(connect=connect, Error=Silent))
    asked = {"name": "db-2", "scope": "elephant", "connection": "host=192.0.2.21", "etcd_urls": [], "etcd_password": "word"} | {
        "url": "https://192.0.2.22:8008", "ca_file": "/ca", "certificate_file": "/crt", "key_file": "/key",
    }  # fmt: skip
    seen = {"members": [STANDBY | {"role": "replica"}]}
    monkeypatch.setattr(failover, "Https", lambda *_: types.SimpleNamespace(ask=lambda path: seen))
    monkeypatch.setattr(failover, "members_own_words", lambda *_: {"db-2": OWN["db-2"]})
    with patch_module_args(asked), pytest.raises(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:
        failover.main()
    assert ("192.0.2.21 takes writes" in said.getvalue()) is answers
    assert json.loads(said.getvalue())["failed"]


@pytest.mark.parametrize(
    ("name", "cluster", "sentence"),
    [
        ("db-1", CLUSTER, "never dropped"),
        ("db-2", {}, "does not answer"),
        ("db-2", {"members": [STANDBY]}, "nothing was dropped"),
        ("db-2", CLUSTER | {"pause": True}, "paused"),
        ("db-3", CLUSTER, "db-3 is no member"),
        ("db-2", CLUSTER, ""),
    ],
)
def test_only_a_standby_of_a_leader_is_copied_anew(name, cluster, sentence):
    said = reinit.refusal(name, cluster)
    assert (sentence in said) if sentence else said == ""


def test_copies_are_counted_with_what_they_moved(tmp_path):
    for pid, name, parent, moved in (
        (10, "pgbackrest", 1, 5),
        (11, "pgbackrest", 10, 7),
        (12, "bash", 1, 100),
        (13, "pg_basebackup", 1, 1),
    ):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "comm").write_text(name + "\n")
        (folder / "stat").write_text(f"{pid} (a (b) c) S {parent} 0\n")
        (folder / "io").write_text(f"rchar: {moved}\nwchar: 0\nsyscr: 9\n")
    assert copying.copiers(tmp_path) == ({10, 13}, 13)


def test_a_file_is_due_when_it_is_newer_than_the_last_reading_and_not_of_the_future(tmp_path):
    now = time.time()
    since = str(int((time.clock_gettime(time.CLOCK_MONOTONIC) - 100) * 1e6))
    state = {
        "ActiveState": "active",
        "NeedDaemonReload": "no",
        "StateChangeTimestampMonotonic": since,
        "ExecMainStartTimestampMonotonic": since,
    }
    paths = []
    for name, age in (("old", 200), ("new", 50), ("future", -500)):
        path = tmp_path / name
        path.touch()
        os.utime(path, (now - age, now - age))
        paths.append(str(path))
    paths.append(str(tmp_path / "absent"))
    assert units.reload_due(state, paths) == units.restart_due(state, paths) == [paths[1]]
    assert units.restart_due(state | {"NeedDaemonReload": "yes"}, []) == ["the unit"]
    assert units.reload_due(state | {"ActiveState": "inactive"}, paths) == []


def test_what_a_member_lives_as_is_read_from_its_own_configuration(tmp_path):
    data, config = tmp_path / "data", tmp_path / "config"
    data.mkdir()
    config.mkdir()
    assert info.lives_as(str(config)) == {"scope": "", "name": "", "data_directory": "", "version": ""}
    (data / "PG_VERSION").write_text("17\n")
    (config / "patroni.yml").write_text(f"# Managed\nscope: one\nname: 'db-1'\npostgresql:\n  listen: x\n  data_dir: {data}\n")
    living = info.lives_as(str(config))
    assert living == {"scope": "one", "name": "db-1", "data_directory": str(data), "version": "17"}
    asked = {"scope": "two", "name": "db-1", "data_directory": str(data)}
    assert info.moved(living, asked) == {"scope": {"found": "one", "asked": "two"}}
    assert info.moved(living | {"version": ""}, asked) == {}


@pytest.mark.parametrize(
    ("reasons", "names"),
    [
        ({"max_connections": {"old_value": "200", "new_value": "150"}}, {"db-2": ["max_connections"]}),
        ({"max_connections": {"old_value": "200", "new_value": "210"}}, {}),
        ({"shared_buffers": {"old_value": "200", "new_value": "150"}}, {}),
        ({"max_wal_senders": {"old_value": "10", "new_value": None}}, {}),
    ],
)
def test_only_limits_that_a_standby_checks_go_to_the_leader_first(reasons, names):
    assert info.lowered({"members": [LEADER, STANDBY | {"pending_restart": True, "pending_restart_reason": reasons}]}) == names


class Host:
    """Runs what a module runs, with a pgbackrest of our own, as whoever runs the test."""

    def __init__(self, folder, script):
        (folder / "pgbackrest").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "pgbackrest").chmod(0o755)
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}"}

    def run_command(self, words):
        assert words[:4] == ["runuser", "-u", "postgres", "--"]
        done = subprocess.run(words[4:], capture_output=True, text=True, check=False, env=self.environment, timeout=30)
        return done.returncode, done.stdout, done.stderr


WRITABLE_NOWHERE = failover.Standby("db-2", None, 1, 5 * 16 * MIB, 16 * MIB)


def test_a_storage_that_is_away_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(failover, "PATIENCE", 1)
    began = time.monotonic()
    archive = failover.newest_archived(Host(tmp_path, "exec sleep 20"), "s")
    assert time.monotonic() - began < 10
    assert archive == failover.Archive(why="no answer within 1 s")
    assert "could not be asked (no answer within 1 s)" in failover.of_archive(WRITABLE_NOWHERE, archive)


@pytest.mark.parametrize(
    ("repositories", "archives", "said"),
    [
        ([(1, 0, "ok")], ["000000010000000000000004"], "nothing to add."),
        ([(1, 99, "unable to load info file")], [], "could not be asked (repository 1: unable to load info file)"),
        ([(1, 99, "away"), (2, 0, "ok")], ["000000010000000000000004"], "Not all of the archive could be asked (repository 1: away)"),
        ([(1, 0, "ok")], [], "could not be asked (it is empty)"),
    ],
    ids=["it answers", "a wrong passphrase", "one of two is away", "empty"],
)
def test_what_the_archive_says_is_stated(tmp_path, repositories, archives, said):
    repos = [{"key": key, "status": {"code": code, "message": message}} for key, code, message in repositories]
    answer = json.dumps([{"repo": repos, "archive": [{"max": it} for it in archives]}])
    host = Host(tmp_path, f"[ \"$*\" = '--stanza=s --io-timeout=5 --output=json info' ] && echo '{answer}'")
    assert said in failover.of_archive(WRITABLE_NOWHERE, failover.newest_archived(host, "s"))


@pytest.mark.parametrize(
    ("said", "found"), [("active", "active"), ("reloading", "active"), ("activating", "activating"), ("failed", "failed")]
)
def test_a_unit_that_reloads_runs(monkeypatch, said, found):
    answer = subprocess.CompletedProcess([], 0, f"ActiveState={said}\nUnitFileState=enabled\n", "")
    monkeypatch.setattr(units.subprocess, "run", lambda *_, **__: answer)
    assert units.state("patroni.service") == {"ActiveState": found, "UnitFileState": "enabled"}
