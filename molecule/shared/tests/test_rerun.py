"""On hosts that match the variables, check mode finds nothing to do. (Molecule's own check step passes whatever it reports.)"""

import re


def test_check_mode_reports_no_change_and_no_diff(converge):
    run = converge("--check")
    assert run.status == 0, run.output
    assert set(re.findall(r"changed=(\d+)", run.output)) == {"0"}, run.output
    assert "--- before" not in run.output, run.output
