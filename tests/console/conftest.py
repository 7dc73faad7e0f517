"""A cluster's folder and a cache that are nobody's, and programs that write down what they were told."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))

from local import environment, suite, tools  # noqa: E402 the checkout has to be on the path first
from local.paths import Cluster  # noqa: E402

# Looks like a key of Vultr's and opens nothing. Whoever gets to see it in a test is a defect.
REAL_KEY = "REALKEYREALKEYREALKEYREALKEYREALKEY0"
# Without site-packages, as it is started a hundred times.
_RECORDER = """#!{python} -SE
import json, os, pathlib, sys
with pathlib.Path({record!r}).open("a") as file:
    file.write(json.dumps({{"words": sys.argv, "env": dict(os.environ)}}) + "\\n")
print({answer!r})
"""


@pytest.fixture(autouse=True)
def _nobodys_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Sockets lie below it, whose paths are short.
    home = tempfile.mkdtemp(prefix="elephant-")
    monkeypatch.setenv("ELEPHANT_HOME", home)
    monkeypatch.setenv("ELEPHANT_CACHE", str(tmp_path / "cache"))
    for name in ("CLUSTER", "ELEPHANT_VULTR_PORT", "VULTR_API_KEY", "TF_VAR_vultr_api_key", "NODE", "COMMAND"):
        monkeypatch.delenv(name, raising=False)
    yield
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def local() -> Cluster:
    """A local cluster whose Vultr has been started once: key, CA and SSH key exist."""
    cluster = Cluster("local")
    cluster.make_folder()
    environment.certificate(cluster).parent.mkdir(parents=True)
    environment.certificate(cluster).write_text("a certificate\n")
    (cluster.vultr / "api_key").write_text("the-local-key\n")
    for suffix in ("", ".pub"):
        Path(f"{cluster.key}{suffix}").write_text("a key\n")
    return cluster


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict]]:
    """Every program that the console may start is a recorder. Ask for what was started: a list of {"words", "env"}."""
    record = tmp_path / "record.jsonl"
    answers = {
        "tofu": "OpenTofu v1.12.6",
        "versitygw": "Version  : v1.8.0",
        "go": "go version go1.99.0",
        "ansible-inventory": "",
        "docker": "a-container",
    }
    shim = tmp_path / "programs"
    ansible = tmp_path / "cache/venv/ansible/bin"
    for folder in (shim, ansible):
        folder.mkdir(parents=True)
        names = [
            "tofu",
            "versitygw",
            "go",
            "ssh",
            "mmdebstrap",
            "molecule",
            "ansible-playbook",
            "ansible-inventory",
            "ansible-lint",
            "ruff",
            "yamllint",
            "make",
            "docker",
        ]
        for name in [*names, "python", "pip"] if folder == ansible else names:
            (folder / name).write_text(_RECORDER.format(python=sys.executable, record=str(record), answer=answers.get(name, "")))
            (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(suite, "_LOCAL_PYTHON", ansible / "python")
    monkeypatch.setattr(tools, "ansible", lambda developing=False, drilling=False: ansible)
    yield lambda: [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    shutil.rmtree(shim)
