"""Every condition of elephant-health is made to happen, and nothing else is said of a host on which nothing is wrong."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "roles/health/files/health"))
import conditions
import sight
import telling

NOW = 1_700_000_000.0
DAY = 86400
LIMITS = {
    "backup_hours": 30, "certificate_days": 30, "disk_percent": 75, "slot_wal_mb": 4096, "synchronous": True, "verification_days": 9,
    "members": ["db-1", "db-2"],
}  # fmt: skip


def member(name: str, role: str, state: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "state": state, "timeline": 1, "lag": 0, "pending_restart": None} | more


def leader() -> dict[str, Any]:
    """What a healthy leader sees."""
    own = member("db-1", "leader", "running")
    return {
        "name": "db-1", "at": NOW, "trouble": {}, "units": {"failed": [], "stopped": []}, "firewall": True,
        "disks": [{"path": "/", "used": 0.5, "free": 1}],
        "certificate": {"name": "postgresql", "days": 700},
        "patroni": {"members": [own, member("db-2", "sync_standby", "streaming")], "own": own, "paused": False},
        "server": {
            "recovery": False, "archiving": True, "failing": False, "failed_wal": None, "ready": 0, "standby_since": None,
            "slots": [{"name": "db_2", "status": "reserved", "bytes": 1000}],
        },
        "backup": {"repositories": [{"key": it, "newest": NOW - 3600, "damaged": "", "error": ""} for it in (1, 2)]}, "rehearsal": None,
        "writes": {"confirmation": 0, "disk": 0, "standbys": ["db-2"]},
    }  # fmt: skip


def standby() -> dict[str, Any]:
    """What a healthy standby sees."""
    seen = leader() | {"name": "db-2", "rehearsal": {"ok": True, "at": NOW - DAY}}
    seen["patroni"]["own"] = seen["patroni"]["members"][1]
    seen["server"] |= {"recovery": True, "standby_since": NOW - 90 * DAY}
    return seen


def etcd() -> dict[str, Any]:
    """What a healthy etcd member sees."""
    seen = {key: leader()[key] for key in ("at", "trouble", "units", "firewall", "disks", "certificate")} | {"name": "etcd-1"}
    return seen | {"etcd": {"leader": True, "version": "3.5.16", "healthy": True, "why": "", "alarms": [], "members": 3, "silent": []}}


def judged(seen: dict[str, Any], **limits: Any) -> list[tuple[str, int]]:
    return [(it.condition, it.level) for it in conditions.judge(seen, LIMITS | limits, NOW)]


@pytest.mark.parametrize("healthy", [leader, standby, etcd])
def test_nothing_is_wrong_with_a_healthy_host(healthy):
    seen = healthy()
    problems = conditions.judge(seen, LIMITS, NOW)
    assert problems == []
    assert telling.level(problems) == 0
    assert telling.line(seen, problems).startswith("OK: ")
    assert not re.search(r"^elephant_health_problem.* [12]$", telling.metrics(seen, problems), re.MULTILINE)


def spoilt(seen: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The same with one thing changed: `server.failing`, `patroni.members.1.role`."""
    seen = copy.deepcopy(seen)
    *way, last = path.split(".")
    inner: Any = seen
    for key in way:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return seen


MADE = [
    (leader, "trouble.patroni", "Connection refused", "answers", 2),
    (leader, "patroni.members.1.role", "replica", "synchronous", 2),
    (leader, "server.failing", True, "archive", 2),
    (leader, "server.ready", 32, "archive", 2),
    (leader, "server.slots.0.bytes", 5 * 2**30, "slots", 1),
    (leader, "server.slots.0.status", "unreserved", "slots", 1),
    (standby, "server.slots.0.status", "lost", "slots", 2),
    (etcd, "disks.0.used", 0.75, "disk", 1),
    (etcd, "disks.0.used", 0.9, "disk", 2),
    (leader, "backup.repositories.1.newest", NOW - 31 * 3600, "backup", 1),
    (leader, "backup.repositories.0.newest", NOW - 61 * 3600, "backup", 2),
    (standby, "backup.repositories.1.newest", None, "backup", 2),
    (standby, "backup.repositories", [], "backup", 2),
    (standby, "backup.repositories.0.damaged", "20261130-213958F", "backup", 2),
    (leader, "backup.repositories.1.error", "unable to load info file", "backup", 1),
    (leader, "backup.repositories", [{"key": 1, "newest": None, "damaged": "", "error": "unable to load info file"}], "backup", 2),
    (leader, "patroni.members.1.state", "stopped", "members", 1),
    (leader, "writes.confirmation", 2, "writes", 2),
    (leader, "writes.disk", 1, "writes", 2),
    (standby, "patroni.own.state", "running", "replication", 2),
    (etcd, "etcd.silent", ["etcd-3"], "etcd_members", 2),
    (etcd, "etcd", etcd()["etcd"] | {"members": 5, "silent": ["etcd-3"]}, "etcd_members", 1),
    (etcd, "firewall", False, "firewall", 2),
    (standby, "rehearsal.at", NOW - 10 * DAY, "verification", 1),
    (standby, "rehearsal", None, "verification", 1),
    (standby, "rehearsal.ok", False, "verification", 2),
    (leader, "certificate.days", 29, "certificates", 1),
    (etcd, "certificate.days", 7, "certificates", 2),
    (leader, "patroni.paused", True, "paused", 1),
    (leader, "patroni.own.pending_restart", True, "pending_restart", 1),
    (standby, "patroni.members.0.state", "stopped", "leader", 2),
    (standby, "patroni.own.state", "start failed", "replication", 2),
    (standby, "patroni.own", None, "replication", 2),
    (etcd, "etcd.healthy", False, "etcd", 2),
    (etcd, "etcd.alarms", ["NOSPACE"], "etcd_alarms", 2),
    (leader, "units.failed", ["elephant-backup.service"], "units", 1),
    (leader, "units.stopped", ["elephant-backup.timer"], "units", 1),
]


@pytest.mark.parametrize(("healthy", "path", "value", "condition", "level"), MADE)
def test_each_condition_is_found_alone(healthy, path, value, condition, level):
    seen = spoilt(healthy(), path, value)
    problems = conditions.judge(seen, LIMITS, NOW)
    assert [(it.condition, it.level) for it in problems] == [(condition, level)]
    assert telling.level(problems) == level
    assert telling.line(seen, problems).startswith("WARNING: " if level == 1 else "CRITICAL: ")
    assert f'elephant_health_problem{{condition="{condition}"}} {level}\n' in telling.metrics(seen, problems)


def test_every_condition_is_made_to_happen():
    assert {condition for _, _, _, condition, _ in MADE} == set(conditions.CONDITIONS)


@pytest.mark.parametrize(
    ("seen", "limits"),
    [
        (spoilt(leader(), "patroni.members.1.role", "replica"), {"synchronous": False}),
        # A standby does not repeat what the leader says.
        (spoilt(standby(), "patroni.members.1.role", "replica"), {}),
        # Failed long ago on a server that leads no more, or that archives nowhere.
        (spoilt(standby(), "server.failing", True), {}),
        (spoilt(spoilt(leader(), "server.archiving", False), "server.failing", True), {}),
        # Who led until an hour ago was not due to rehearse.
        (spoilt(spoilt(standby(), "rehearsal", None), "server.standby_since", NOW - 3600), {}),
        # Nobody said how many members there should be; a standby leaves it to the leader to miss one.
        (spoilt(leader(), "patroni.members.1.state", "stopped"), {"members": []}),
        (standby(), {"members": ["db-1", "db-2", "db-3"]}),
        (spoilt(leader(), "disks.0.used", 0.749), {}),
    ],
)
def test_what_is_no_problem(seen, limits):
    assert judged(seen, **limits) == []


def test_a_member_that_patroni_has_forgotten_is_missed_by_name():
    problems = conditions.judge(leader(), LIMITS | {"members": ["db-1", "db-2", "db-3"]}, NOW)
    assert [it.sentence for it in problems] == ["1 of 3 members do not follow: db-3 (gone)"]


def test_a_repository_that_cannot_be_read_is_not_said_to_have_no_backup():
    seen = spoilt(leader(), "backup.repositories", [{"key": 1, "newest": None, "damaged": "", "error": "[095]: unable to flush"}])
    assert [it.sentence for it in conditions.judge(seen, LIMITS, NOW)] == ["repository 1 cannot be read: [095]: unable to flush"]


def test_the_worst_comes_first_and_decides():
    seen = spoilt(spoilt(leader(), "patroni.paused", True), "patroni.members.1.role", "replica")
    assert judged(seen) == [("synchronous", 2), ("paused", 1)]


def test_what_does_not_answer_is_said_and_the_rest_is_seen(monkeypatch):
    """No Patroni, no PostgreSQL, no etcd, no systemd and no openssl here."""

    def missing(*words, **_):
        raise FileNotFoundError(2, "No such file or directory", words[0])

    monkeypatch.setattr(sight, "run", missing)
    settings = {"name": "a", "disks": ["/", "/nowhere"], "certificates": "/nowhere", "patroni": "https://127.0.0.1:1", "stanza": "s"}
    seen = sight.look(settings | {"etcd": "https://127.0.0.1:1", "timers": ["a.timer"], "firewall": True})
    assert set(seen["trouble"]) == {"units", "firewall", "patroni", "server", "writes", "backup", "etcd"}
    assert [it["path"] for it in seen["disks"]] == ["/"]
    assert "certificate" in seen
    assert telling.level(conditions.judge(seen, LIMITS, NOW)) == 2


def test_a_disk_is_counted_once(tmp_path):
    assert len(sight.disks([str(tmp_path), str(tmp_path / ".."), "/nowhere"])) == 1


def test_etcd_without_a_leader(monkeypatch):
    """As etcdctl 3.5 answers it: `leader` is not there at all."""
    status = {
        "header": {"cluster_id": 1, "member_id": 2, "raft_term": 3},
        "version": "3.5.16",
        "raftIndex": 4,
        "errors": ["etcdserver: no leader"],
    }
    monkeypatch.setattr(sight, "run", lambda *_, **__: json.dumps([{"Endpoint": "https://127.0.0.1:2379", "Status": status}]))
    seen = sight.etcd({"certificates": "/nowhere", "etcd": "https://127.0.0.1:2379"})
    assert (seen["leader"], seen["healthy"]) == (False, False) and "it knows no leader" in seen["why"]


def info(*stops: int, damaged: int = 0, code: int = 0, message: str = "ok") -> str:
    """As pgBackRest says it of one repository with backups that ended at these times."""
    backups = [{"database": {"repo-key": 1}, "label": f"at-{it}", "timestamp": {"stop": it}, "error": it == damaged} for it in stops]
    return json.dumps([{"backup": backups, "repo": [{"key": 1, "status": {"code": code, "message": message}}]}])


def test_backups_are_remembered_while_all_is_well(monkeypatch, tmp_path):
    # What pgBackRest 2.55 answers to a wrong passphrase, with exit code 0.
    noise = "[CryptoError] unable to load info file\n'/backup/s/backup.info':\n\x07"
    answers = [info(), info(5, 7, damaged=7), info(code=99, message=noise), info(5, 7), "nonsense"]
    monkeypatch.setattr(sight, "STATE", tmp_path)
    monkeypatch.setattr(sight, "run", lambda *words, **_: answers.pop(0))
    found = [sight.backup("s")["repositories"][0] for _ in range(5)]
    assert answers == ["nonsense"]
    assert [(it["newest"], it["damaged"], it["error"]) for it in found] == [
        (None, "", ""),
        (5, "at-7", ""),
        (None, "", "[CryptoError] unable to load info file '/backup/s/backup.info':  "),
        (7, "", ""),
        (7, "", ""),
    ]


def test_a_storage_that_is_away_is_no_missing_backup(monkeypatch, tmp_path):
    def silent(*words, **_):
        raise subprocess.TimeoutExpired(words, 30)

    monkeypatch.setattr(sight, "STATE", tmp_path)
    monkeypatch.setattr(sight, "run", silent)
    seen = leader() | {"backup": sight.backup("s")}
    assert [it.sentence for it in conditions.judge(seen, LIMITS, NOW)] == ["the storage cannot be read: no answer within 30 s"]


def test_a_standby_counts_from_the_first_look_and_not_from_its_restart(monkeypatch, tmp_path):
    monkeypatch.setattr(sight, "STATE", tmp_path)
    first = sight.standby_since(True)
    os.utime(tmp_path / "standby", (first - 100, first - 100))
    assert sight.standby_since(True) == pytest.approx(first - 100)
    assert sight.standby_since(False) is None
    assert sight.standby_since(True) > first - 50


@pytest.mark.parametrize(
    ("looks", "confirmation", "disk"),
    [
        ([("7", {})], 0, 0),
        ([("7", {"1 10:00": True, "2 10:01": True}), ("8", {"1 10:00": True, "2 10:05": True}), ("9", {"1 10:00": True})], 1, 0),
        ([("7", {"1 10:00": True}), ("8", {})], 0, 0),
        ([("7", {"1 10:00": False})] * 3, 0, 1),
        # A long statement that writes much WAL is often seen to wait for it.
        ([("7", {"1 10:00": False}), ("8", {"1 10:00": False}), ("9", {"1 10:00": False})], 0, 0),
    ],
    ids=["nobody waits", "one stands still", "it went on", "the disk stands still", "a long statement"],
)
def test_only_a_statement_that_stands_still_at_every_look_hangs(monkeypatch, looks, confirmation, disk):
    rest = [{"sessions": [[key, value] for key, value in held.items()], "flushed": at, "standbys": ["db-2"]} for at, held in looks]
    monkeypatch.setattr(sight.time, "sleep", lambda _: None)
    monkeypatch.setattr(sight, "query", lambda _: rest.pop(0))
    found = sight.writes()
    assert (found["confirmation"], found["disk"], rest) == (confirmation, disk, [])


def test_timers_that_are_stopped_are_named(monkeypatch):
    def systemctl(*words, **_):
        return "etcd.service loaded failed failed etcd\n" if words[1] == "list-units" else "active\n\ninactive\n"

    monkeypatch.setattr(sight, "run", systemctl)
    assert sight.units(["a.timer", "b.timer"]) == {"failed": ["etcd.service"], "stopped": ["b.timer"]}


def test_the_firewalls_table_is_looked_for(monkeypatch):
    tables = ["table inet elephant\n", "table ip docker\n"]
    monkeypatch.setattr(sight, "run", lambda *words, **_: tables.pop(0))
    assert (sight.firewall(), sight.firewall()) == (True, False)


@pytest.mark.parametrize("leads", [True, False])
def test_the_leader_of_etcd_says_which_members_do_not_answer(monkeypatch, leads):
    def etcdctl(*words, **_):
        if words[-2:] == ("endpoint", "status"):
            if "--endpoints=https://c:2379" in words:
                assert "--command-timeout=3s" in words
                raise subprocess.CalledProcessError(1, words, stderr="context deadline exceeded")
            return json.dumps([{"Status": {"header": {"member_id": 1}, "leader": 1 if leads else 2, "version": "3.5.16"}}])
        if words[-1] == "list" and words[-2] == "member":
            known = [{"ID": it, "name": name, "clientURLs": [f"https://{name}:2379"]} for it, name in enumerate("abc", 1)]
            return json.dumps({"members": [*known, {"ID": 255}]})
        return ""

    monkeypatch.setattr(sight, "run", etcdctl)
    found = sight.etcd({"certificates": "/nowhere", "etcd": "https://a:2379"})
    assert (found["healthy"], found["members"], found["silent"]) == ((True, 4, ["c", "ff, not started"]) if leads else (True, 0, []))


def test_an_alarm_is_named_though_it_makes_the_member_unhealthy(monkeypatch):
    def etcdctl(*words, **_):
        if words[-1] == "health":
            raise subprocess.CalledProcessError(1, words, stderr="Error: unhealthy cluster\n")
        status = {"header": {"member_id": 1}, "leader": 1, "version": "3.5.16"}
        if words[-2:] == ("member", "list"):
            return '{"members": []}'
        return "memberID:1 alarm:NOSPACE \n" if words[-1] == "list" else json.dumps([{"Status": status}])

    monkeypatch.setattr(sight, "run", etcdctl)
    found = sight.etcd({"certificates": "/nowhere", "etcd": "https://127.0.0.1:2379"})
    assert (found["alarms"], found["healthy"], found["why"]) == (["NOSPACE"], False, "Error: unhealthy cluster")


def test_the_textfile_is_one_that_prometheus_reads():
    text = telling.metrics(leader(), conditions.judge(spoilt(leader(), "units.failed", ["a"]), LIMITS, NOW))
    types = re.findall(r"^# TYPE (\w+) gauge$", text, re.MULTILINE)
    assert len(types) == len(set(types))
    for row in text.splitlines():
        assert re.fullmatch(r'# TYPE \w+ gauge|\w+(\{\w+="[^"\n]*"\})? -?[0-9.e+]+', row), row


def program(folder: Path, how: str, told: dict[str, Any]) -> int:
    """The program with a hook that counts its calls."""
    code = f"""
import sys; sys.path.insert(0, {str(Path(sight.__file__).parent)!r}); sys.argv = ["elephant-health", {how!r}]
import runpy, pathlib, json, sight
sight.STATE = pathlib.Path({str(folder)!r})
main = runpy.run_path({str(Path(sight.__file__).with_name("__main__.py"))!r}, run_name="program")
sys.exit(main["hook"]({{"hook": ["sh", "-c", "cat >> {folder}/calls"]}}))
"""
    (folder / "health.json").write_text(json.dumps(told))
    return subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode


def test_the_hook_is_called_once_for_each_change(tmp_path):
    calls = tmp_path / "calls"

    def told(*problems: conditions.Problem) -> dict[str, Any]:
        return telling.document(leader(), list(problems))

    warned = [conditions.Problem("disk", 1, f"/ is {percent} % full", "/") for percent in (76, 77)]
    critical = conditions.Problem("disk", 2, "/ is 90 % full", "/")
    units = [conditions.Problem("units", 1, f"failed: {names}", names) for names in ("a", "a, b")]
    for problems, called in (
        (warned[:1], 1),
        (warned[:1], 1),
        (warned[1:], 1),
        ([critical], 2),
        ([critical, units[0]], 3),
        ([critical, units[1]], 4),
        ([critical, units[1]], 4),
        ([critical], 5),
    ):
        assert program(tmp_path, "--hook", told(*problems)) == 0
        assert calls.read_text().count('"problems"') == called, problems
