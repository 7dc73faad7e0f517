"""A tofu to test with, a root of a test's own, and somebody's home folder."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = CHECKOUT / "tofu"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== somebody@laptop"
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests/provider")]


@dataclass
class Run:
    """What a command left behind."""

    code: int
    out: str

    def __contains__(self, words: str) -> bool:
        # Tofu draws a box around what it says and wraps it: neither is of interest.
        return " ".join(words.split()) in " ".join(self.out.replace("│", " ").split())


@dataclass
class Tofu:
    """tofu in one folder, with an environment that has nothing of the tester's own."""

    program: str
    folder: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, folder: Path | None = None, **environment: str | None) -> Run:
        """Run tofu; an environment value of None takes the name away."""
        told = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TF_INPUT": "0", **self.environment, **environment}
        done = subprocess.run(
            [self.program, *arguments],
            cwd=folder or self.folder,
            env={name: value for name, value in told.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return Run(done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout))

    def ok(self, *arguments: str, **more: str | None) -> Run:
        """Run tofu, which has to succeed."""
        done = self(*arguments, **more)
        assert done.code == 0, done.out
        return done

    @property
    def key(self) -> Path:
        """Where the key of the default cluster's state lies."""
        return self.home / ".local/share/elephant/elephant/state.key"


def copy_root(folder: Path) -> Path:
    """A copy of the root without anybody's state, settings or lock file."""
    return shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars", "__pycache__"))


@pytest.fixture(scope="session")
def program() -> str:
    """The tofu to test with: TOFU in the environment, or the one on PATH. Its absence is a failure."""
    found = os.environ.get("TOFU") or shutil.which("tofu")
    assert found, "no tofu: name it in TOFU or put it on PATH"
    return found


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLI configuration that finds the provider without a network: TF_CLI_CONFIG_FILE, or the stand-in's."""
    given = os.environ.get("TF_CLI_CONFIG_FILE")
    if given and Path(given).exists():
        return given
    from local.provider.install import install

    return str(install(tmp_path_factory.mktemp("mirror") / "providers"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with one SSH key."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    (folder / ".ssh/id_ed25519.pub").write_text(KEY + "\n")
    return folder


@pytest.fixture
def initialised(tmp_path: Path, program: str, mirror: str, home: Path) -> Tofu:
    """A copy of the root after `tofu init`."""
    tofu = Tofu(program, copy_root(tmp_path / "tofu"), home, {"TF_CLI_CONFIG_FILE": mirror})
    tofu.ok("init")
    return tofu
