"""What the tests of every scenario may use: converge again, and know exactly what that changed."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Run:
    """One run of the scenario's converge playbook."""

    status: int
    output: str

    @property
    def changed(self) -> set[tuple[str, str]]:
        """(host, task) for each task and handler that reported a change; the task without its role."""
        task, found = "", set()
        for line in self.output.splitlines():
            if match := re.match(r"(?:TASK|RUNNING HANDLER) \[(?:[\w.]+ : )?(.+)\]", line):
                task = match[1]
            elif match := re.match(r"changed: \[([^\] ]+)", line):
                found.add((match[1], task))
        return found


def play(playbook: Path, *arguments: str | Path, **environment: str) -> Run:
    """Run a playbook on the scenario's hosts; judges nothing."""
    done = subprocess.run(
        ["ansible-playbook", "--inventory", Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory/hosts.yml", playbook, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
        env=os.environ | {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"} | environment,
    )
    return Run(done.returncode, done.stdout + done.stderr)


@dataclass(frozen=True)
class Drill:
    """One run of playbooks/drill/run.yml, and the folder of its record."""

    run: Run
    folder: Path

    def cycles(self) -> dict[str, dict]:
        """fault.json of each cycle, by fault and number."""
        return {str(file.parent.relative_to(self.folder)): json.loads(file.read_text()) for file in sorted(self.folder.rglob("fault.json"))}


@pytest.fixture(scope="session")
def drill() -> Callable[..., Drill]:
    """`drill("switchover", drill_cycles=2)` drills the scenario's cluster, whose hosts lose their power through Docker."""

    def run(faults: str, **settings: object) -> Drill:
        project = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
        reports = Path(os.environ["ELEPHANT_HOME"]) / "drills"
        given = {
            "drill_confirm": os.environ["CLUSTER"],
            "drill_without_backup": True,
            "drill_select": faults,
            "drill_reports": str(reports),
        }
        given |= {"drill_power_tasks": str(project / "molecule/shared/power.yml"), "drill_load_scale": 0} | settings
        ended = play(project / "playbooks/drill/run.yml", "--extra-vars", json.dumps(given))
        return Drill(ended, max(reports.glob("*Z"), default=reports))

    return run


@pytest.fixture(scope="session")
def converge() -> Callable[..., Run]:
    """`converge("--check", HOME="/tmp")` runs the scenario's playbook with these arguments and environment, and judges nothing.

    `playbook` and `inventory` name others than the scenario's.
    """

    def run(*arguments: str | Path, playbook: Path | None = None, inventory: Path | None = None, **environment: str) -> Run:
        scenario = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
        own = scenario / "converge.yml"
        playbook = playbook or (own if own.exists() else scenario.parent / "shared/converge.yml")
        done = subprocess.run(
            ["ansible-playbook", "--diff", "--inventory", inventory or scenario / "inventory/hosts.yml", playbook, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
            env=os.environ | {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"} | environment,
        )
        return Run(done.returncode, done.stdout + done.stderr)

    return run
