"""On hosts that match the variables, check mode finds nothing to do. (Molecule's own check step passes whatever it reports.)"""

import os
import re
import subprocess
from pathlib import Path


def test_check_mode_reports_no_change_and_no_diff():
    scenario = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
    own = scenario / "converge.yml"
    converge = own if own.exists() else scenario.parent / "shared/converge.yml"
    run = subprocess.run(
        ["ansible-playbook", "--check", "--diff", "--inventory", scenario / "inventory/hosts.yml", converge],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
    )
    assert run.returncode == 0, run.stdout
    assert set(re.findall(r"changed=(\d+)", run.stdout)) == {"0"}, run.stdout
    assert "--- before" not in run.stdout, run.stdout
