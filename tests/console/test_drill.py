"""`make drill`, interrupted: what was broken is healed at once, and only then."""

import os
import sys
from pathlib import Path

import pytest

from local import drill
from local.paths import CHECKOUT
from local.say import Refusal

# Ends as Ansible does: on ^C by itself with 99, of which its caller hears as of a signal or as of that exit code alone.
PROGRAM = """#!{python} -SE
import os, pathlib, signal, sys
playbook = next(word for word in sys.argv if word.endswith(".yml") and "drill" in word)
with pathlib.Path({record!r}).open("a") as file:
    file.write(playbook + "\\n")
if playbook.endswith("run.yml"):
    {how}
"""
HOWS = {
    "the terminal's": "os.kill(os.getppid(), signal.SIGINT); sys.exit(99)",
    "Ansible's": "sys.exit(99)",
    "a red verdict": "sys.exit(2)",
    "a green one": "sys.exit(0)",
}


@pytest.fixture
def ended(tmp_path, monkeypatch, local):
    """Carries out `make drill` whose playbook ends so; returns what was raised, and the playbooks that ran."""

    def run(how):
        record, program = tmp_path / "record", tmp_path / "programs/ansible-playbook"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(python=sys.executable, record=str(record), how=HOWS[how]))
        program.chmod(0o755)
        monkeypatch.setattr(drill, "prepared", lambda cluster, drilling: {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"})
        raised = None
        try:
            drill.drill(local)
        except (KeyboardInterrupt, Refusal) as error:
            raised = error
        return raised, [Path(line).name for line in record.read_text().splitlines()]

    return run


@pytest.mark.parametrize("how", ["the terminal's", "Ansible's"])
def test_an_interrupted_drill_is_healed_at_once(ended, how):
    raised, playbooks = ended(how)
    assert playbooks == ["run.yml", "heal.yml"]
    assert isinstance(raised, KeyboardInterrupt if how == "the terminal's" else Refusal)


@pytest.mark.parametrize("how", ["a red verdict", "a green one"])
def test_a_drill_that_came_to_its_end_has_healed_by_itself(ended, how):
    raised, playbooks = ended(how)
    assert playbooks == ["run.yml"]
    assert isinstance(raised, Refusal) == (how == "a red verdict")


@pytest.mark.parametrize("playbook", [drill.PLAYBOOK, drill.HEAL])
def test_the_playbooks_are_there(playbook):
    assert (CHECKOUT / playbook).is_file()
