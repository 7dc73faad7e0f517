"""The commands of docs/backup.md, as printed there: what a scenario runs is what a person types."""

import itertools
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from processes import kill_family

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/backup.md"


def commands(page: Path = PAGE) -> dict[str, str]:
    """The ansible-playbook command below each heading, on one line; a heading without one is left out."""
    found = {}
    for section in re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        blocks = re.findall(r"^```\w*\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if "ansible-playbook " in line]
        if lines:
            (found[heading.strip()],) = lines
    return found


def words(heading: str, inventory: Path, **values: str) -> list[str]:
    """The words of the command below `heading`, with this inventory, and with `values` for the variables that it names: for all of them."""
    given = shlex.split(commands()[heading])
    names = {word.partition("=")[0] for before, word in itertools.pairwise(given) if before == "-e" and re.match(r"\w+=", word)}
    files = {"file" for word in given if word.startswith("@")}
    assert names | files == set(values), f"{heading}: the page names {names | files}"
    told = [f"@{values['file']}" if word.startswith("@") else word for word in given]
    told = [f"{name}={values[name]}" if (name := word.partition("=")[0]) in names else word for word in told]
    return [str(inventory) if word == "inventories/vultr.yml" else word for word in told]


@dataclass(frozen=True)
class Said:
    """How a playbook ended, and what it printed with its folded lines joined."""

    status: int
    output: str

    @property
    def text(self) -> str:
        """On one line."""
        return re.sub(r"\s+", " ", self.output)


def environment(**more: str) -> dict[str, str]:
    """The scenario's, without colours."""
    return os.environ | {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"} | more


def follow(heading: str, inventory: Path, env: dict[str, str] | None = None, **values: str) -> Said:
    """Run the command of the page to its end."""
    asked = words(heading, inventory, **values)
    while "=" in asked[0]:
        asked = asked[1:]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=ROOT, env=environment(**(env or {})))
    return Said(done.returncode, done.stdout + done.stderr)


class Started:
    """A command of the page under way, which can be killed as a power cut would kill the controller; it never outlives its `with`."""

    def __init__(self, heading: str, inventory: Path, **values: str) -> None:
        command = words(heading, inventory, **values)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment(), start_new_session=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.runs:
            self.kill()

    @property
    def runs(self) -> bool:
        """Whether it has not ended by itself."""
        return self.process.poll() is None

    def kill(self) -> str:
        """Kill it with all that it started; answers what it had printed."""
        kill_family(self.process.pid)
        return self.process.communicate()[0]
