"""The program that hands tofu the key of the state: its protocol, and when it refuses."""

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT


@dataclass
class Program:
    """The program, run as tofu runs it."""

    folder: Path
    home: Path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "state_key.py"), *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ELEPHANT_HOME": str(self.home), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: Any = None, *arguments: str, **environment: str) -> dict[str, Any]:
        """Its answer to one request."""
        process = self.start(*(arguments or ("elephant",)), **environment)
        out, err = process.communicate(json.dumps(request) + "\n", timeout=30)
        assert process.returncode == 0, err
        header, answer = out.splitlines()
        assert json.loads(header) == {"magic": "OpenTofu-External-Key-Provider", "version": 1}
        return json.loads(answer)

    def refusal(self, request: Any = None, *arguments: str, **environment: str) -> str:
        """What it says when it refuses: one sentence or a few, and no traceback."""
        process = self.start(*(arguments or ("elephant",)), **environment)
        out, err = process.communicate(json.dumps(request) + "\n", timeout=30)
        assert process.returncode == 1, (out, err)
        assert len(out.splitlines()) == 1
        assert len(err.splitlines()) == 1
        return err

    def key(self, cluster: str = "elephant") -> Path:
        return self.home / cluster / "state.key"

    def write_state(self, meta: dict[str, Any], path: str = "terraform.tfstate") -> Path:
        """An encrypted state, as far as anybody without the key can see."""
        stored = base64.b64encode(json.dumps(meta).encode()).decode()
        state = {"serial": 1, "meta": {"key_provider.external.elephant": stored}, "encrypted_data": "AAAA", "encryption_version": "v0"}
        (self.folder / path).write_text(json.dumps(state))
        return self.folder / path


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "root").mkdir()
    return Program(tmp_path / "root", tmp_path / "clusters")


def test_a_new_state_gets_a_new_key(program):
    answer = program.ask()
    assert set(answer["keys"]) == {"encryption_key"}
    assert len(base64.b64decode(answer["keys"]["encryption_key"])) == 32
    assert program.key().stat().st_mode & 0o777 == 0o600
    assert program.key().parent.stat().st_mode & 0o777 == 0o700
    assert answer["keys"]["encryption_key"] not in json.dumps(answer["meta"])
    assert [path.name for path in program.key().parent.iterdir()] == ["state.key"]


def test_the_key_is_made_once(program):
    assert program.ask() == program.ask()


def test_two_keys_are_not_alike(program):
    assert program.ask()["keys"] != program.ask(None, "other")["keys"]


def test_what_is_encrypted_can_be_decrypted(program):
    first = program.ask()
    again = program.ask(first["meta"])
    assert again["keys"]["decryption_key"] == again["keys"]["encryption_key"] == first["keys"]["encryption_key"]


def test_all_of_several_that_start_at_once_get_the_same_key(program):
    processes = [program.start("elephant") for _ in range(6)]
    for process in processes:
        process.stdin.write("null\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=30)[0] for process in processes}
    assert len(answers) == 1
    assert json.loads(answers.pop().splitlines()[1])["keys"]["encryption_key"] == program.key().read_text().strip()


@pytest.mark.parametrize(
    ("arguments", "environment", "cluster"),
    [
        ((), {}, "elephant"),
        (("prod",), {}, "prod"),
        (("elephant",), {"CLUSTER": "prod"}, "prod"),
        (("prod",), {"CLUSTER": "prod"}, "prod"),
        (("elephant",), {"CLUSTER": ""}, "elephant"),
    ],
)
def test_a_new_states_key_is_in_its_clusters_folder(program, arguments, environment, cluster):
    program.ask(None, *arguments, **environment)
    assert [path.name for path in program.home.iterdir()] == [cluster]


def test_cluster_and_variable_that_disagree_are_refused(program):
    said = program.refusal(None, "prod", CLUSTER="test")
    assert "CLUSTER is test and cluster_name is prod" in said
    assert not program.home.exists()


@pytest.mark.parametrize("name", ["../etc", "a/b", "Prod", "-a", "a-"])
def test_a_cluster_that_is_no_name_is_refused(program, name):
    assert name in program.refusal(CLUSTER=name)
    assert not program.home.exists()


def test_the_key_of_an_existing_state_is_found_whatever_cluster_says(program):
    first = program.ask()
    program.write_state(first["meta"])
    assert program.ask(CLUSTER="prod") == first
    assert program.ask(first["meta"], CLUSTER="prod")["meta"] == first["meta"]
    assert [path.name for path in program.home.iterdir()] == ["elephant"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"CLUSTER": "prod"},
        {"TF_CLI_ARGS_plan": "-state=elsewhere.tfstate"},
        {"TF_CLI_ARGS": "-lock=false -state elsewhere.tfstate -no-color"},
    ],
)
def test_a_lost_key_is_refused_and_no_new_one_made(program, environment):
    meta = program.ask()["meta"]
    program.key().unlink()
    program.write_state(meta, "elsewhere.tfstate" if any(name.startswith("TF_") for name in environment) else "terraform.tfstate")
    for request in (None, meta):
        said = program.refusal(request, **environment)
        assert f"the key that opens it is gone: {program.key()}" in said
        assert "No new key was made" in said
        assert "docs/state.md" in said
    assert not list(program.home.rglob("state.key"))


def test_a_lost_folder_is_refused_too(program):
    meta = program.ask()["meta"]
    program.write_state(meta)
    program.key().unlink()
    program.key().parent.rmdir()
    assert "is gone" in program.refusal()
    assert not program.key().parent.exists()


def test_another_key_is_named_as_such(program):
    meta = program.ask()["meta"]
    program.write_state(meta)
    program.key().write_text(base64.b64encode(bytes(32)).decode())
    for request in (None, meta):
        said = program.refusal(request)
        assert f"not the one that this state of the cluster elephant was encrypted with ({meta['external_data']['key']})" in said


def test_a_state_is_not_written_back_with_another_clusters_key(program):
    meta = program.ask()["meta"]
    program.ask(None, "prod")
    # Nothing says where this state is, for instance because a backend keeps it.
    assert "export CLUSTER=elephant" in program.refusal(meta, CLUSTER="prod")


@pytest.mark.parametrize("content", ["", "c2hvcnQ=", "not base64 at all!", base64.b64encode(bytes(33)).decode(), "ü"])
def test_a_key_that_is_none_is_refused(program, content):
    program.key().parent.mkdir(parents=True)
    program.key().write_text(content)
    program.key().chmod(0o600)
    assert str(program.key()) in program.refusal()
    assert program.key().read_text() == content


def test_a_key_that_everybody_can_read_is_refused(program):
    program.ask()
    program.key().chmod(0o644)
    assert f"chmod 600 {program.key()}" in program.refusal()


def test_a_home_that_cannot_be_written_is_refused(program):
    said = program.refusal(ELEPHANT_HOME="/proc/elephant")  # where even root cannot make a folder
    assert "/proc/elephant/elephant" in said
    assert "set ELEPHANT_HOME" in said


def test_a_state_that_cannot_be_read_is_refused(program):
    (program.folder / "terraform.tfstate").write_text("{ cut")
    assert "terraform.tfstate" in program.refusal()
    assert not program.home.exists()


def test_a_state_of_somebody_elses_encryption_is_refused(program):
    program.write_state({"salt": "AAAA"})
    assert "not encrypted by Elephant" in program.refusal()


def test_a_key_file_named_by_the_environment_is_used(program, tmp_path):
    file = tmp_path / "somewhere.key"
    file.write_text(base64.b64encode(b"k" * 32).decode() + "\n")
    file.chmod(0o600)
    answer = program.ask(ELEPHANT_STATE_KEY_FILE=str(file))
    assert answer["keys"]["encryption_key"] == file.read_text().strip()
    assert not program.home.exists()
    # The same key at its usual place opens the same state.
    program.key().parent.mkdir(parents=True)
    file.rename(program.key())
    assert program.ask(answer["meta"])["keys"]["decryption_key"] == answer["keys"]["encryption_key"]


def test_a_key_file_named_by_the_environment_is_never_made(program, tmp_path):
    file = tmp_path / "somewhere.key"
    assert f"openssl rand -base64 32 >{file}" in program.refusal(ELEPHANT_STATE_KEY_FILE=str(file))
    assert not file.exists()
