"""What the drill's programs decide on the hosts, where that can be asked without one."""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
import time
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

PROGRAMS = Path(__file__).parents[2] / "playbooks/drill/files/drill"


@pytest.fixture(scope="module", autouse=True)
def importable():
    sys.path.insert(0, str(PROGRAMS))
    yield
    sys.path.remove(str(PROGRAMS))


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("hostssl all all 10.1.0.0/16 scram-sha-256", True),
        ("hostssl app app 10.1.2.3/32 scram-sha-256", True),
        ("hostssl all all 10.2.0.0/16 scram-sha-256", None),
        ("hostssl replication replicator 10.1.2.3/32 cert", None),
        ("hostssl postgres rewinder 10.1.2.3/32 cert", None),
        ("host all postgres,replicator,rewinder all reject", None),
        ("host all all all reject", False),
        ("local all all peer", None),
    ],
)
def test_a_line_of_pg_hba(line, verdict):
    assert importlib.import_module("door").admits(line, "10.1.2.3", "app") is verdict


def written(folder, rows):
    with (folder / "writer-any-1.jsonl").open("w") as file:
        for ended, outcome, server in rows:
            file.write(
                json.dumps({"client": "any-1", "started": ended - 0.01, "ended": ended, "outcome": outcome, "server": server}) + "\n"
            )


@pytest.mark.parametrize(
    ("server", "leaves", "settled"),
    [("db-2", "db-1", True), ("db-1", "db-1", False), ("db-1", "", True)],
    ids=["another leads", "nobody else leads", "it need not move"],
)
def test_a_fault_is_settled(tmp_path, server, leaves, settled):
    clients = importlib.import_module("clients")
    injected = time.time() - 5
    written(tmp_path, [(injected - 1, "ok", "db-1")] + [(injected + 0.1 * step, "ok", server) for step in range(1, 650)])
    answer = clients.settled(str(tmp_path), injected, hold=0, leaves=leaves, deadline=60 if settled else 5.5)
    assert answer["settled"] is settled


def test_unknown_is_no_acknowledgement(tmp_path):
    injected = time.time() - 5
    written(tmp_path, [(injected + 0.1 * step, "unknown", "db-1") for step in range(1, 50)])
    assert importlib.import_module("clients").settled(str(tmp_path), injected, hold=0, deadline=5.5)["settled"] is False


@pytest.fixture
def cloud():
    """A cloud's API that notes what it is asked."""
    asked = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(503 if self.path.startswith("/busy") and len(asked) == 1 else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def halted(flag: Path, seconds: float, url: str) -> None:
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()} | {"VULTR_API_KEY": "key"}
    subprocess.run([sys.executable, PROGRAMS.parent / "start_later.py", flag, str(seconds), f"{url}/start"], check=True, env=environment)


def waiting(flag: Path) -> bool:
    """Whether a process has the flag among its arguments."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(str(flag).encode() in file.read_bytes())
    return any(found)


def wait_until(true):
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_host_that_nobody_starts_is_started(tmp_path, cloud):
    url, asked = cloud
    halted(tmp_path / "flag", 0.5, url)
    wait_until(lambda: asked == [("/start", "Bearer key")] and not (tmp_path / "flag").exists())


def test_a_cloud_that_is_busy_is_asked_again(tmp_path, cloud):
    url, asked = cloud
    halted(tmp_path / "flag", 0.1, f"{url}/busy")
    wait_until(lambda: not waiting(tmp_path / "flag"))
    assert asked == [("/busy/start", "Bearer key")] * 2
    assert not (tmp_path / "flag").exists()


def test_a_host_that_was_started_is_left_alone(tmp_path, cloud):
    url, asked = cloud
    halted(tmp_path / "flag", 30, url)
    assert waiting(tmp_path / "flag")
    (tmp_path / "flag").unlink()
    wait_until(lambda: not waiting(tmp_path / "flag"))
    assert asked == []


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """What systemd is asked, where every unit runs already until it is stopped; none is begun beside itself."""
    asked, stopped = [], set()

    def run(*words, check=True):
        asked.append([str(word) for word in words])
        if words[:2] == ("systemctl", "stop"):
            stopped.add(words[2])
        if words[0] == "systemd-run":
            assert {word.removeprefix("--unit=") for word in map(str, words) if word.startswith("--unit=")} <= stopped
        return ""

    monkeypatch.setattr(importlib.import_module("units"), "run", run)
    return asked


def begun(asked):
    """The properties of the one unit that was begun."""
    calls = [words for words in asked if words[0] == "systemd-run"]
    assert len(calls) == 1, asked
    return calls[0]


def test_observers_of_an_interrupted_drill_make_room(tmp_path, systemd):
    importlib.import_module("observers").observe(str(tmp_path / "crash/02/observer-db-1.jsonl"))
    assert any("observer-db-1.jsonl" in word for word in begun(systemd))


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_a_host_that_its_watchdog_has_reset_is_observed_again(tmp_path, systemd, monkeypatch, state):
    """And one that was not is observed without a hole."""
    units = importlib.import_module("units")
    known = units.run
    monkeypatch.setattr(units, "run", lambda *words, check=True: f"{state}\n" if "is-active" in words else known(*words, check=check))
    importlib.import_module("observers").observe(str(tmp_path / "crash/02/observer-db-1.jsonl"), again=True)
    assert len(systemd) == (0 if state == "active" else 3), systemd


def test_clients_of_an_interrupted_drill_make_room(tmp_path, systemd, monkeypatch):
    clients = importlib.import_module("clients")
    monkeypatch.setattr(clients, "settings", lambda: {"nodes": {}})
    monkeypatch.setattr(clients, "connected", lambda: contextlib.nullcontext(types.SimpleNamespace(execute=lambda sql: None)))
    clients.clients(str(tmp_path / "crash/02"))
    assert any("crash/02" in word for word in begun(systemd))


def test_what_nobody_ends_ends_by_itself(systemd):
    units = importlib.import_module("units")
    units.stop("elephant-drill-clients")
    units.start("elephant-drill-clients", "record-clients", {})
    limit = next(word.partition("RuntimeMaxSec=")[2] for word in begun(systemd) if "RuntimeMaxSec=" in word)
    assert 1200 < int(limit) <= 3600


def test_a_host_that_is_cut_off_can_be_healed_by_its_own_port_of_ssh(systemd):
    verbs = yaml.safe_load((PROGRAMS.parents[1] / "vars/faults.yml").read_text())["drill_faults"]
    words = verbs["primary-cut-off"]["words"]
    assert "firewall_ssh_port" in words["ssh"]
    importlib.import_module("faults").cut(**words | {"ssh": "2222"})
    rules = systemd[-1][-1]
    assert rules.count("tcp dport 2222 accept; tcp sport 2222 accept; drop") == 2
    assert " 22 " not in rules
