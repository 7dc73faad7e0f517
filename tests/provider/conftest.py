"""A tofu that finds the stand-in, a Vultr for it to talk to, and a root to run in."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.provider.install import install

from .stub import Vultr

TERRAFORM = """\
terraform {
  required_providers {
    vultr = {
      source  = "vultr/vultr"
      version = ">= 2.33.0"
    }
  }
}
"""


@dataclass
class Run:
    """What a tofu command left behind."""

    code: int
    out: str

    def __contains__(self, words: str) -> bool:
        # Tofu draws a box around diagnostics and wraps them: neither is of interest.
        return " ".join(words.split()) in " ".join(line.lstrip("│╷╵ ") for line in self.out.splitlines() if line.strip()).replace("  ", " ")


class Root:
    """A root module in a folder of its own."""

    def __init__(self, folder: Path, tofu: str, environment: dict[str, str]):
        self.folder, self.tofu, self.environment = folder, tofu, environment

    def write(self, text: str, provider: str = 'provider "vultr" {}\n') -> None:
        """Replace the configuration."""
        (self.folder / "main.tf").write_text(TERRAFORM + provider + text)

    def run(self, *arguments: str, **environment: str | None) -> Run:
        """Run tofu; an environment value of None takes the name away."""
        told = {name: value for name, value in (self.environment | environment).items() if value is not None}
        done = subprocess.run([self.tofu, *arguments], cwd=self.folder, env=told, capture_output=True, text=True, timeout=120)
        return Run(done.returncode, done.stdout + done.stderr)

    def apply(self, *arguments: str, **environment: str | None) -> Run:
        """Apply without asking."""
        return self.run("apply", "-auto-approve", "-no-color", "-input=false", *arguments, **environment)

    def destroy(self, *arguments: str) -> Run:
        """Destroy without asking."""
        return self.run("destroy", "-auto-approve", "-no-color", "-input=false", *arguments)

    def plan(self, *arguments: str) -> Run:
        """Plan; the code is 0 for no changes and 2 for some."""
        return self.run("plan", "-detailed-exitcode", "-no-color", "-input=false", *arguments)

    def state(self, address: str) -> dict[str, Any]:
        """The values of one resource in the state, with the key `tainted`."""
        root = json.loads(self.run("show", "-json").out).get("values", {}).get("root_module", {})
        for resource in root.get("resources", []):
            if resource["address"] == address:
                return resource["values"] | {"tainted": resource.get("tainted", False)}
        raise KeyError(address)


@pytest.fixture(scope="session")
def tofu() -> str:
    """The tofu to test with: TOFU in the environment, or the one on PATH. Its absence is a failure."""
    found = os.environ.get("TOFU") or shutil.which("tofu")
    assert found, "no tofu: name it in TOFU or put it on PATH"
    return found


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CLI configuration of a mirror that has only the stand-in."""
    return install(tmp_path_factory.mktemp("mirror") / "providers")


@pytest.fixture
def vultr(tmp_path: Path) -> Iterator[Vultr]:
    """A Vultr of one test's own."""
    (tmp_path / "vultr").mkdir()
    made = Vultr(tmp_path / "vultr")
    yield made
    made.close()


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory, tofu: str, mirror: Path) -> Path:
    """The data folder of an initialised root, which all roots share: `tofu init` asks nobody anything."""
    folder = tmp_path_factory.mktemp("init")
    root = Root(folder, tofu, {"PATH": os.environ["PATH"], "HOME": str(folder), "TF_CLI_CONFIG_FILE": str(mirror)})
    root.write("")
    done = root.run("init", "-no-color")
    assert done.code == 0, done.out
    return folder


@pytest.fixture
def root(tmp_path: Path, tofu: str, mirror: Path, initialised: Path, vultr: Vultr) -> Root:
    """An initialised root that is steered to the test's Vultr."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / ".terraform").symlink_to(initialised / ".terraform")
    shutil.copy(initialised / ".terraform.lock.hcl", folder)
    environment = {"PATH": os.environ["PATH"], "HOME": str(initialised), "TF_CLI_CONFIG_FILE": str(mirror), **vultr.environment}
    return Root(folder, tofu, environment)
