"""Every command of docs/backup.md is run, as it stands there, by a scenario."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "molecule"))
import processes
import runbook

ROOT = runbook.ROOT
TESTS = "\n".join(path.read_text() for path in (ROOT / "molecule").glob("*/tests/test_*.py"))


def test_the_page_has_commands():
    assert len(runbook.commands()) >= 10


@pytest.mark.parametrize("heading", runbook.commands())
def test_a_scenario_follows_the_command(heading):
    assert re.search(rf"""(?:follow|Started)\("{re.escape(heading)}",""", TESTS)


def test_the_playbooks_of_the_commands_exist():
    for command in runbook.commands().values():
        (playbook,) = re.findall(r"\S*playbooks/\S+\.yml", command)
        assert (ROOT / playbook).exists(), playbook


def test_a_command_gets_the_values_of_the_scenario(tmp_path):
    told = runbook.words("Back to a moment", tmp_path, restore_time="now", restore_confirm="it")
    assert told[-3:] == ["restore_time=now", "-e", "restore_confirm=it"] and str(tmp_path) in told
    with pytest.raises(AssertionError, match="the page names"):
        runbook.words("Back to a moment", tmp_path, restore_time="now")


def test_a_playbook_that_is_killed_takes_its_workers_with_it():
    worker = "import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as run:
        child = int(run.stdout.readline())
        processes.kill_family(run.pid)
    assert run.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(child, 0)
            time.sleep(0.05)


def test_a_command_of_the_page_does_not_outlive_its_test(monkeypatch, tmp_path):
    monkeypatch.setattr(runbook, "words", lambda *_, **__: [sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(RuntimeError), runbook.Started("Back to a backup", tmp_path) as started:
        raise RuntimeError
    assert started.process.returncode == -signal.SIGKILL
