"""`make lint`, `check`, `test`, `test-all` and `molecule-<scenario>`: one line for each step, a log for each, a count at the end."""

import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from local import child, engine, environment, host_image, tools, walk
from local.paths import CHECKOUT, cache
from local.provider.install import install
from local.say import Refusal, say

# Tests of what runs in the console's venv; all others run in Ansible's. The two cannot be one on Python 3.11.
_LOCAL_TESTS = ("console", "vultr", "provider", "tofu")
_LOCAL_PYTHON = Path(sys.executable)


@dataclass(frozen=True)
class Step:
    """Something that passes or raises Refusal."""

    name: str
    run: Callable[[], None]


def carry_out(steps: Iterable[Step]) -> int:
    """Run all steps, one after another, whatever the earlier ones gave or raised. Prints the closing count; returns the exit code."""
    passed = failed = 0
    for step in steps:
        started = time.monotonic()
        try:
            step.run()
        except Exception as error:
            failed += 1
            say(str(error) if isinstance(error, Refusal) else traceback.format_exc())
            say(f"FAILED {time.monotonic() - started:5.0f} s  {step.name}")
        else:
            passed += 1
            say(f"passed {time.monotonic() - started:5.0f} s  {step.name}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


def lint() -> list[Step]:
    """What reads files only."""
    yaml = [
        *CHECKOUT.glob("*.yml"),
        *(CHECKOUT / folder for folder in ("inventories", "meta", "molecule", "playbooks", "roles", ".config", "changelogs")),
    ]
    return [
        _step("ruff", "ruff", "check", "."),
        _step("yamllint", "yamllint", "--strict", *(path for path in yaml if path.exists())),
        _step("ansible-lint", "ansible-lint", "--offline", "-q"),
        Step("tofu fmt", lambda: _run("tofu fmt", tools.tool("tofu"), "fmt", "-check", "-diff", "-recursive", "tofu")),
        Step("tofu validate", _tofu_validate),
    ]


def check() -> list[Step]:
    """Linters and every fast test."""
    folders = sorted(path for path in (CHECKOUT / "tests").iterdir() if path.is_dir() and any(path.rglob("test_*.py")))
    here = [path for path in folders if path.name in _LOCAL_TESTS]
    theirs = [path for path in folders if path.name not in _LOCAL_TESTS] + sorted((CHECKOUT / "tests").glob("test_*.py"))
    return [
        *lint(),
        *(Step(f"pytest tests/{path.name}", lambda path=path: _pytest(_LOCAL_PYTHON, path)) for path in here),
        Step("pytest, the other tests", lambda: _pytest(tools.ansible(developing=True) / "python", *theirs)),
    ]


def scenarios() -> list[str]:
    """Every scenario of Molecule, the cheap ones first: those of one role, then the whole cluster, then what breaks it."""
    roles = {path.name for path in (CHECKOUT / "roles").iterdir()}
    order = {"default": 1}
    names = [path.parent.name for path in (CHECKOUT / "molecule").glob("*/molecule.yml")]
    return sorted(names, key=lambda name: (0 if name in roles else order.get(name, 2), name))


def quick_scenarios() -> list[str]:
    """One scenario for each role, and the whole cluster. How it fails over shows in the whole path."""
    roles = {path.name for path in (CHECKOUT / "roles").iterdir()}
    return [name for name in scenarios() if name in roles or name == "default"]


def test(names: list[str]) -> list[Step]:
    """Everything: check, the scenarios, the path that a person walks."""
    return [
        *check(),
        Step("pytest tests/vultr, with real machines", _real_machines),
        *(scenario(name) for name in names),
        Step("the whole path: make up, again, status, a quick drill, README, down", walk.whole_path),
    ]


def scenario(name: str) -> Step:
    """One scenario of Molecule, from destroy to destroy."""
    if name not in scenarios():
        raise Refusal(f"There is no scenario molecule/{name}; there are: {', '.join(scenarios())}.")
    return Step(f"molecule {name}", lambda: _molecule(name))


def provide(containers: bool) -> None:
    """What the steps need: programs, both venvs, and with `containers` the engine. A step's image comes with the step."""
    tools.provide(("tofu", "versitygw") if containers else ("tofu",))
    tools.ansible(developing=True)
    if containers:
        engine.provide()


def image_of(scenario: str) -> str:
    """The image of a scenario's hosts: what its inventory says, else the default one."""
    inventory = CHECKOUT / "molecule" / scenario / "inventory/hosts.yml"
    return yaml.safe_load(inventory.read_text())["all"]["vars"].get("scenario_image", host_image.DEFAULT)


def provide_image(scenario: str) -> None:
    """Build the image of the scenario's hosts unless it is there and current."""
    host_image.provide(engine.provide(), image_of(scenario))


def _molecule(name: str) -> None:
    provide_image(name)
    log = _run(f"molecule {name}", "molecule", "test", "-s", name)
    said = log.read_text(errors="replace")
    # Molecule passes over a missing playbook with a warning and exit code 0: a test that did not run.
    if re.search(r"Missing playbook|missing=[1-9]", said):
        raise Refusal(f"molecule {name} passed, but a playbook that its sequence names is missing: look for `missing` in {log}")


def _real_machines() -> None:
    host_image.provide(engine.provide())
    _pytest(_LOCAL_PYTHON, CHECKOUT / "tests/vultr", only="docker")


def _pytest(python: Path, *paths: Path, only: str = "not docker") -> None:
    name = f"pytest {paths[0].name}{'' if only.startswith('not') else ' ' + only}" if len(paths) == 1 else "pytest"
    _run(name, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", only, *paths)


def _tofu_validate() -> None:
    """tofu validate in a copy of the root: no lock file, state or settings of a user take part."""
    with tempfile.TemporaryDirectory(prefix="elephant-tofu-") as folder:
        root = Path(folder) / "tofu"
        shutil.copytree(CHECKOUT / "tofu", root, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars", "__pycache__"))
        config = install(Path(folder) / "mirror")
        extra = {"TF_CLI_CONFIG_FILE": str(config), "ELEPHANT_HOME": folder, "TF_DATA_DIR": str(root / ".terraform")}
        for words in (("init", "-input=false", "-no-color"), ("validate", "-no-color")):
            _run(f"tofu {words[0]}", tools.tool("tofu"), *words, cwd=root, extra=extra)


def _step(name: str, *words: str | Path) -> Step:
    return Step(name, lambda: _run(name, *words))


def _run(name: str, *words: str | Path, cwd: Path = CHECKOUT, extra: dict[str, str] | None = None) -> Path:
    log = cache() / "log" / f"{name.replace(' ', '-')}.log"
    child.run(words, {**surroundings(), **(extra or {})}, log, f"{name} failed", cwd=cwd)
    return log


def surroundings() -> dict[str, str]:
    """What tests are told: no key, no proxy, no cluster, nobody's settings, and our programs first on PATH."""
    programs = [tools.ansible(developing=True), tools.tool("tofu").parent]
    return {
        **{name: value for name, value in environment.blank().items() if name not in ("CLUSTER", "ELEPHANT_HOME", "NODE")},
        "ELEPHANT_CACHE": str(cache()),
        "NO_COLOR": "1",
        "PATH": os.pathsep.join([*(str(folder) for folder in programs), os.environ.get("PATH", os.defpath)]),
    }
