"""Every command of docs/backup.md is run, as it stands there, by a scenario."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "molecule"))
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
