"""What the tests of every scenario may use: converge again, and know exactly what that changed."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml


@dataclass(frozen=True)
class Run:
    """One run of the scenario's converge playbook."""

    status: int
    output: str

    @property
    def said(self) -> str:
        """All of it as one line, for sentences that were folded."""
        return re.sub(r"\s+", " ", self.output)

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


@dataclass(frozen=True)
class Hosts:
    """The scenario's hosts by name, for tests that break one and judge another."""

    containers: dict[str, str]
    addresses: dict[str, str]

    def sh(self, name: str, command: str, ok: bool = True) -> str:
        """What a shell of root on the host prints. `ok=False` takes a failure too."""
        done = subprocess.run(["docker", "exec", self.containers[name], "sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not ok, done.stdout + done.stderr
        return (done.stdout if ok else done.stdout + done.stderr).strip()

    def sql(self, name: str, query: str, ok: bool = True) -> str:
        """What the host's PostgreSQL answers to postgres on its socket."""
        return self.sh(name, f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d postgres <<'END'\n{query}\nEND", ok)

    def wait(self, name: str, query: str, answer: str, seconds: int = 120) -> None:
        """Return when the host's PostgreSQL gives this answer."""
        deadline = time.monotonic() + seconds
        while (said := self.sql(name, query, ok=False)) != answer:
            assert time.monotonic() < deadline, f"{name} still answers {said!r}, not {answer!r}, to: {query}"
            time.sleep(0.2)


def _hosts(tree: dict) -> dict[str, dict]:
    found = dict((tree or {}).get("hosts") or {})
    for child in ((tree or {}).get("children") or {}).values():
        found |= _hosts(child)
    return found


@pytest.fixture(scope="session")
def hosts() -> Hosts:
    """All hosts of the scenario's inventory."""
    inventory = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory/hosts.yml"
    found = _hosts(yaml.safe_load(inventory.read_text())["all"])
    return Hosts({name: it["ansible_host"] for name, it in found.items()}, {name: it["cluster_address"] for name, it in found.items()})


@pytest.fixture(scope="session")
def playbook() -> Callable[..., Run]:
    """`playbook("replication/promote.yml", "-e", "x=1")` runs a playbook of the project on the scenario's hosts, judging nothing."""

    def run(path: str, *arguments: str) -> Run:
        return play(Path("playbooks") / path, *arguments)

    return run


# A host's prompt in a page. What follows it, up to the next prompt, is shown as its output.
PROMPT = re.compile(r"^root@(?P<host>[\w-]+):~# (?P<command>.+)$")
# What differs from run to run, and the word that stands for it when two outputs are compared.
VARYING = (
    # As openssl and ls write a day.
    (re.compile(r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d+ +(\d\d:\d\d(:\d\d)?|\d{4})( \d{4} GMT)?"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( ?UTC|[+-]\d\d|Z)?"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "TIME"),
    (re.compile(r"\b[0-9A-F]+/[0-9A-F]+\b"), "POSITION"),
    (re.compile(r"\b(?=\w*\d)[0-9a-fA-F]{8,}\b"), "HEX"),
    # Not the number in a host's name: who it is may be what is judged.
    (re.compile(r"(?<![a-z]-)\d+(\.\d+)?"), "N"),
    (re.compile(r"-{2,}"), "--"),
    (re.compile(r"\s+"), " "),
)


def shape(line: str) -> str:
    """A line without what differs from run to run. A number alone is an answer, and stays."""
    if line.strip().isdigit():
        return line.strip()
    for pattern, word in VARYING:
        line = pattern.sub(word, line)
    return line.strip()


def matches(shown: list[str], said: list[str]) -> bool:
    """Whether what was said has the shape of what is shown; a line `...` stands for any lines."""
    if not shown:
        return not said
    if shown[0] == "...":
        return any(matches(shown[1:], said[skipped:]) for skipped in range(len(said) + 1))
    return bool(said) and shown[0] == said[0] and matches(shown[1:], said[1:])


def shapes(lines: list[str]) -> list[str]:
    """The shapes of the lines that are not blank."""
    return [it for it in map(shape, lines) if it]


def steps(page: str) -> list[tuple[str, str, list[str]]]:
    """(host, command, lines shown) for each command in the blocks marked `console` of a page, in their order."""
    found: list[tuple[str, str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if match := PROMPT.match(line):
                found.append((match["host"], match["command"], []))
            else:
                found[-1][2].append(line)
    return found


@pytest.fixture(scope="session")
def page(hosts) -> Callable[[str], None]:
    """`page("etcd")` types every command of docs/concepts/etcd.md where the page types it, and holds the answers against those shown.

    An answer may come late (a standby takes its time to connect), so a command is repeated until it fits, for three minutes.
    """

    def judge(concept: str) -> None:
        page = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / f"docs/concepts/{concept}.md"
        typed = steps(page.read_text())
        assert len(typed) >= 5, f"{page} shows {len(typed)} commands"
        for host, command, shown in typed:
            deadline = time.monotonic() + 180
            while True:
                said = hosts.sh(host, f"exec 2>&1; {command}", ok=False).splitlines()
                if matches(shapes(shown), shapes(said)):
                    break
                shows = f"{page.name} shows after `{command}`:\n" + "\n".join(shown)
                assert time.monotonic() < deadline, shows + "\nbut it says:\n" + "\n".join(said)
                time.sleep(1)

    return judge
