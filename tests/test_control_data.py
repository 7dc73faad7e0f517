"""What Patroni sees of a PostgreSQL that is being stopped: pg_controldata's answer, once the shutdown checkpoint is written."""

import os
import subprocess
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[1] / "roles/patroni/templates/control-data.j2"
# Answers one state after the other, the last one for ever, and counts the questions.
FAKE = """#!/bin/sh
echo >> asked
line=$(wc -l < asked)
state=$(sed -n "${line}p" states)
state=${state:-$(tail -n 1 states)}
[ "$state" != broken ] || exit 3
echo "Database cluster state:               $state"
"""


@pytest.fixture
def ask(tmp_path):
    """The program, for a server in a state of postmaster.pid, with what pg_control says in turn; answers (exit code, text, questions)."""
    (tmp_path / "pg_controldata").write_text(FAKE)
    program = tmp_path / "control-data"
    program.write_text(TEMPLATE.read_text().replace("{{ __patroni_binaries }}", str(tmp_path)))
    for file in ("pg_controldata", "control-data"):
        (tmp_path / file).chmod(0o755)

    def ask(server, *states, pid=0):
        if server:
            lines = [str(pid or os.getpid()), str(tmp_path), "1764000000", "5432", "/run/postgresql", "10.0.0.1", "  5 6", f"{server:8}"]
            (tmp_path / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
        (tmp_path / "states").write_text("".join(f"{state}\n" for state in states))
        (tmp_path / "asked").unlink(missing_ok=True)
        done = subprocess.run([program, tmp_path], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.partition(":")[2].strip(), len((tmp_path / "asked").read_text())

    return ask


@pytest.mark.parametrize(
    "states", [["in production", "shutting down", "shutting down", "shut down"], ["shut down in recovery"]], ids=["leader", "standby"]
)
def test_a_stop_is_waited_for(ask, states):
    assert ask("stopping", *states) == (0, states[-1], len(states) + 1)


def test_but_not_for_ever(ask):
    assert ask("stopping", "shutting down") == (0, "shutting down", 41)


@pytest.mark.parametrize("server", ["ready", "starting", "standby", ""], ids=["runs", "starts", "starts as a standby", "is not there"])
def test_nothing_else_is_waited_for(ask, server):
    assert ask(server, "in production") == (0, "in production", 1)


def test_nor_is_one_that_died_while_it_stopped(ask):
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert ask("stopping", "shutting down", pid=gone.pid) == (0, "shutting down", 1)


def test_an_error_is_told(ask):
    assert ask("ready", "broken")[:2] == (3, "")
    assert ask("stopping", "broken")[0] == 3
