"""The closing count, and a run of Molecule that tested nothing."""

import textwrap

import pytest

from local import child, suite
from local.playbook import Watch
from local.say import Refusal


def fails():
    raise Refusal("it is broken; mend it")


@pytest.mark.parametrize(
    ("steps", "count", "code"),
    [
        ([], "0 passed, 0 failed", 1),
        ([suite.Step("a", lambda: None)], "1 passed, 0 failed", 0),
        ([suite.Step("a", fails), suite.Step("b", lambda: None)], "1 passed, 1 failed", 1),
        ([suite.Step("a", lambda: [][0]), suite.Step("b", lambda: None)], "1 passed, 1 failed", 1),
    ],
)
def test_every_step_runs_and_the_count_closes(steps, count, code, capsys):
    assert suite.carry_out(steps) == code
    assert capsys.readouterr().out.splitlines()[-1] == count


@pytest.mark.parametrize(
    ("said", "passes"), [("all well\nfailed=0 missing=0", True), ("Missing playbook (side_effect)", False), ("missing=1", False)]
)
def test_a_scenario_with_a_missing_playbook_has_not_passed(said, passes, monkeypatch, tmp_path):
    log = tmp_path / "log"
    log.write_text(said)
    monkeypatch.setattr(suite, "_run", lambda name, *words: log)
    monkeypatch.setattr(suite, "provide_image", lambda scenario: None)
    if passes:
        suite._molecule("default")
    else:
        with pytest.raises(Refusal, match="is missing"):
            suite._molecule("default")


def test_a_failing_program_shows_the_tail_of_its_log_and_ends_in_a_sentence(tmp_path, capsys):
    with pytest.raises(Refusal, match=r"it broke \(exit code 3; the whole log: .*log\)"):
        child.run(["sh", "-c", "echo the reason; exit 3"], {"PATH": "/usr/bin:/bin"}, tmp_path / "log", "it broke")
    assert "the reason" in capsys.readouterr().err


OUTPUT = """\
PLAY [Prove that it works] *****************************************************

TASK [Something] ***************************************************************
ok: [a] =>
    changed: false
    msg: nothing much

TASK [How to connect] **********************************************************
ok: [a] =>
    msg:
        from a host of the VPC: psql 'host=10.87.0.3,10.87.0.4 port=5432'
        leader: a

PLAY RECAP *********************************************************************
a                          : ok=5    changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
b                          : ok=5    changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
"""


def test_a_playbooks_last_words_plays_and_changes_are_read():
    watch = Watch(quiet=True)
    for line in OUTPUT.splitlines():
        watch.line(line)
    assert watch.last_message == ["from a host of the VPC: psql 'host=10.87.0.3,10.87.0.4 port=5432'", "leader: a"]
    assert watch.changed == {"a": 2, "b": 0}
    assert list(watch.plays) == ["Prove that it works"]


def test_a_table_keeps_its_columns():
    watch = Watch(quiet=True)
    table = ["host   role", "  a    leader", "", "b      standby"]
    for line in ["ok: [localhost] =>", "    msg: |-", *textwrap.indent("\n".join(table), " " * 8).splitlines(), "", "PLAY RECAP ****"]:
        watch.line(line)
    assert watch.last_message == table
