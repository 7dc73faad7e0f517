"""What the tests of every scenario may use: converge again, and know exactly what that changed."""

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
