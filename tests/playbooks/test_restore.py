"""A restore ends on the restored member last: what another member's note alone would make of it is the same restore once more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
PLAY = f"""
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  vars: {{restore_node: db-1}}
  environment: {{HOST: "{{{{ inventory_hostname }}}}"}}
  tasks:
    - ansible.builtin.include_tasks: {ROOT}/playbooks/tasks/restore/finish.yml
"""
# Instead of the program, which removes the note; one host does not answer.
RUNUSER = """#!/bin/sh
test "$HOST" != "$AWAY" || exit 1
touch "$DONE/$HOST"
"""


# With db-1 away nothing is left to be restored by mistake: its note says that it leads.
@pytest.mark.parametrize(("away", "finished"), [("db-2", []), ("db-1", ["db-2"])])
def test_the_restored_members_note_goes_last(tmp_path, away, finished):
    done, programs = tmp_path / "done", tmp_path / "programs"
    done.mkdir()
    programs.mkdir()
    (programs / "runuser").write_text(RUNUSER)
    (programs / "runuser").chmod(0o755)
    (tmp_path / "hosts.yml").write_text("all: {hosts: {db-1: {ansible_connection: local}, db-2: {ansible_connection: local}}}\n")
    (tmp_path / "play.yml").write_text(PLAY)
    told = {"PATH": f"{programs}:{os.environ['PATH']}", "AWAY": away, "DONE": str(done), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    run = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", tmp_path / "hosts.yml", tmp_path / "play.yml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | told,
    )
    assert run.returncode != 0, run.stdout
    assert sorted(it.name for it in done.iterdir()) == finished, run.stdout
