"""Every condition of elephant-health is made to happen, and nothing else is said of a host on which nothing is wrong."""

import copy
import json
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
}  # fmt: skip


def member(name: str, role: str, state: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "state": state, "timeline": 1, "lag": 0, "pending_restart": None} | more


def leader() -> dict[str, Any]:
    """What a healthy leader sees."""
    own = member("db-1", "leader", "running")
    return {
        "name": "db-1", "at": NOW, "trouble": {}, "units": [],
        "disks": [{"path": "/", "used": 0.5, "free": 1}],
        "certificate": {"name": "postgresql", "days": 700},
        "patroni": {"members": [own, member("db-2", "sync_standby", "streaming")], "own": own, "paused": False},
        "server": {
            "recovery": False, "archiving": True, "failing": False, "failed_wal": None, "ready": 0, "started": NOW - 90 * DAY,
            "slots": [{"name": "db_2", "status": "reserved", "bytes": 1000}],
        },
        "backup": {"newest": NOW - 3600}, "rehearsal": None,
    }  # fmt: skip


def standby() -> dict[str, Any]:
    """What a healthy standby sees."""
    seen = leader() | {"name": "db-2", "rehearsal": {"ok": True, "at": NOW - DAY}}
    seen["patroni"]["own"] = seen["patroni"]["members"][1]
    seen["server"]["recovery"] = True
    return seen


def etcd() -> dict[str, Any]:
    """What a healthy etcd member sees."""
    seen = {key: leader()[key] for key in ("at", "trouble", "units", "disks", "certificate")} | {"name": "etcd-1"}
    return seen | {"etcd": {"leader": True, "version": "3.5.16", "healthy": True, "why": "", "alarms": []}}


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
    (leader, "backup.newest", NOW - 31 * 3600, "backup", 1),
    (leader, "backup.newest", NOW - 61 * 3600, "backup", 2),
    (standby, "backup.newest", None, "backup", 2),
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
    (leader, "units", ["elephant-backup.service"], "units", 1),
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
        (spoilt(spoilt(standby(), "rehearsal", None), "server.started", NOW - 3600), {}),
        (spoilt(leader(), "disks.0.used", 0.749), {}),
    ],
)
def test_what_is_no_problem(seen, limits):
    assert judged(seen, **limits) == []


def test_the_worst_comes_first_and_decides():
    seen = spoilt(spoilt(leader(), "patroni.paused", True), "patroni.members.1.role", "replica")
    assert judged(seen) == [("synchronous", 2), ("paused", 1)]


def test_what_does_not_answer_is_said_and_the_rest_is_seen(monkeypatch):
    """No Patroni, no PostgreSQL, no etcd, no systemd and no openssl here."""

    def missing(*words, **_):
        raise FileNotFoundError(2, "No such file or directory", words[0])

    monkeypatch.setattr(sight, "run", missing)
    settings = {"name": "a", "disks": ["/", "/nowhere"], "certificates": "/nowhere", "patroni": "https://127.0.0.1:1", "stanza": "s"}
    seen = sight.look(settings | {"etcd": "https://127.0.0.1:1"})
    assert set(seen["trouble"]) == {"units", "patroni", "server", "backup", "etcd"}
    assert [it["path"] for it in seen["disks"]] == ["/"]
    assert "certificate" in seen
    assert telling.level(conditions.judge(seen, LIMITS, NOW)) == 2


def test_a_disk_is_counted_once(tmp_path):
    assert len(sight.disks([str(tmp_path), str(tmp_path / ".."), "/nowhere"])) == 1


def test_the_newest_backup_is_remembered_and_a_missing_one_is_not(monkeypatch, tmp_path):
    answers = ['[{"backup": []}]', '[{"backup": [{"timestamp": {"stop": 5}}, {"timestamp": {"stop": 7}, "error": true}]}]', "nonsense"]
    monkeypatch.setattr(sight, "STATE", tmp_path)
    monkeypatch.setattr(sight, "run", lambda *words, **_: answers.pop(0))
    assert [sight.backup("s")["newest"] for _ in range(3)] == [None, 5, 5]
    assert answers == ["nonsense"]


def test_an_alarm_is_named_though_it_makes_the_member_unhealthy(monkeypatch):
    def etcdctl(*words, **_):
        if words[-1] == "health":
            raise subprocess.CalledProcessError(1, words, stderr="Error: unhealthy cluster\n")
        status = {"header": {"member_id": 1}, "leader": 1, "version": "3.5.16"}
        return "memberID:1 alarm:NOSPACE \n" if words[-1] == "list" else json.dumps([{"Status": status}])

    monkeypatch.setattr(sight, "run", etcdctl)
    found = sight.etcd({"certificates": "/nowhere", "etcd": "https://127.0.0.1:2379"})
    assert (found["alarms"], found["healthy"], found["why"]) == (["NOSPACE"], False, "Error: unhealthy cluster")


def test_the_textfile_is_one_that_prometheus_reads():
    text = telling.metrics(leader(), conditions.judge(spoilt(leader(), "units", ["a"]), LIMITS, NOW))
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
    one, two = ({"problems": [{"condition": name} for name in names]} for names in (("disk",), ("disk", "paused")))
    for told, called in ((one, 1), (one, 1), (two, 2), (one, 3)):
        assert program(tmp_path, "--hook", told) == 0
        assert calls.read_text().count('{"problems"') == called
