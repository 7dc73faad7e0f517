"""An exported key of the real Vultr is sent nowhere, printed nowhere, and told to nobody who is started for a cluster on this machine."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT, REAL_KEY

from local import __main__ as console
from local import child, environment, host_image, reach, suite, up, vultr_process, walk
from local.paths import Cluster, chosen
from local.say import Refusal

EVERY_VERB = re.findall(r"^verbs := (.+)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)[0].split()


@pytest.fixture
def real_key(monkeypatch):
    """A user's shell that is set up for the real Vultr, in every way that tofu, Ansible and HTTP clients know."""
    for name in ("VULTR_API_KEY", "TF_VAR_vultr_api_key", "TF_VAR_another_secret", "TF_TOKEN_example_com"):
        monkeypatch.setenv(name, REAL_KEY)
    monkeypatch.setenv("TF_CLI_ARGS_apply", f"-var=vultr_api_key={REAL_KEY}")
    monkeypatch.setenv("TF_DATA_DIR", "/somebody/elses")
    monkeypatch.setenv("ANSIBLE_CONFIG", "/somebody/elses.cfg")
    monkeypatch.setenv("https_proxy", "http://somewhere.invalid:3128")
    monkeypatch.setenv("SSL_CERT_DIR", "/etc/ssl/certs")


@pytest.fixture
def nothing_is_made(monkeypatch, local):
    """Whatever would need Docker or a running API is left out; what starts programs stays as it is."""
    monkeypatch.setattr(vultr_process, "insist", lambda cluster: None)
    monkeypatch.setattr(vultr_process, "provide", lambda cluster: None)
    monkeypatch.setattr(vultr_process, "running", lambda cluster: None)
    monkeypatch.setattr(up.machine, "judge", lambda cluster: None)
    monkeypatch.setattr(up.engine, "provide", lambda: None)
    monkeypatch.setattr(host_image, "provide", lambda *_: None)
    monkeypatch.setattr(up, "_start_halted", lambda cluster: None)
    monkeypatch.setattr(up, "_discard_what_was_interrupted", lambda cluster: None)
    monkeypatch.setattr(walk, "whole_path", lambda: None)
    # One scenario is told what all are told.
    monkeypatch.setattr(suite, "scenarios", lambda: ["default"])
    monkeypatch.setattr(child, "become", lambda words, env: child.answer(words, env))
    monkeypatch.setattr(reach, "inventory", lambda cluster, env: {"vars": {"n": {}}, "groups": {"postgresql": ["n"]}})
    monkeypatch.setattr("local.down.remove_all", lambda name: [])
    monkeypatch.setattr("local.bench.bench", lambda *_: up.up(Cluster("local")))
    monkeypatch.setenv("NODE", "n")
    monkeypatch.setenv("CONCEPT", "etcd")


def carry_out(verb: str) -> None:
    with contextlib.suppress(Refusal, FileNotFoundError):
        console.main(verb)


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_no_verb_tells_a_child_the_real_key(verb, real_key, nothing_is_made, recorded, capfd):
    carry_out(verb)
    started = recorded()
    assert REAL_KEY not in json.dumps(started)
    assert REAL_KEY not in capfd.readouterr().out
    if verb not in ("down", "env", "image"):
        assert started, "nothing was started, so nothing was shown"
    for one in started:
        program = Path(one["words"][0]).name
        if program == "ansible-playbook" or (program == "tofu" and "apply" in one["words"]):
            assert one["env"]["VULTR_API_KEY"] == "the-local-key"
            assert one["env"]["HTTPS_PROXY"] == "http://127.0.0.1:18080"
            assert "https_proxy" not in one["env"]
            assert Path(one["env"]["SSL_CERT_DIR"]).name == "no-authorities"


@pytest.mark.parametrize("verb", [verb for verb in EVERY_VERB if verb not in ("status", "psql", "ssh", "drill")])
def test_nor_when_a_cluster_on_vultr_is_chosen(verb, real_key, nothing_is_made, recorded, monkeypatch):
    monkeypatch.setenv("CLUSTER", "production")
    carry_out(verb)
    assert REAL_KEY not in json.dumps(recorded())


def test_the_recorder_would_notice(real_key, nothing_is_made, recorded, monkeypatch):
    """The judge above can be red: a cluster on Vultr gets the user's key, as it must."""
    monkeypatch.setenv("CLUSTER", "production")
    carry_out("status")
    assert [one["env"]["VULTR_API_KEY"] for one in recorded() if one["words"][0].endswith("ansible-playbook")] == [REAL_KEY]


def test_the_api_itself_is_told_nobodys_key(real_key, local):
    assert REAL_KEY not in json.dumps(environment.local_vultr(local))


def test_tests_are_told_nobodys_key(real_key, recorded):
    assert REAL_KEY not in json.dumps(suite.surroundings())


def test_the_shell_that_env_points_has_the_local_key_and_nothing_of_the_real_one(real_key, local):
    words = environment.exports(local, [])
    assert "the-local-key" not in words, "a key in a shell's output ends up in logs"
    shell = subprocess.run(
        ["sh", "-c", f'{words}\n"$0" -c "import json, os; print(json.dumps(dict(os.environ)))"', sys.executable],
        env=os.environ,
        capture_output=True,
        text=True,
    )
    told = json.loads(shell.stdout)
    assert REAL_KEY not in shell.stdout
    assert told["VULTR_API_KEY"] == "the-local-key"
    assert told["TF_VAR_cluster_name"] == "local"
    assert told["TF_DATA_DIR"].startswith(str(local.folder))
    assert "https_proxy" not in told
    assert told["SSL_CERT_DIR"] == str(local.no_authorities)


def test_tofu_gets_settings_that_outrank_a_users_tfvars_file(real_key, local):
    told = environment.clients(local, [])
    assert f"-var-file={local.folder}/tofu/local.tfvars.json" in told["TF_CLI_ARGS_apply"]
    assert f"-state={local.folder}/tofu/terraform.tfstate" in told["TF_CLI_ARGS_apply"]


def test_a_users_state_and_settings_are_not_copied(local):
    up.tofu_files(local)
    root = environment.tofu_root(local)
    assert (root / "main.tf").exists() and (root / "state_key.py").exists()
    assert not [path for path in root.rglob("*") if path.suffix in (".tfvars", ".tfstate") or path.name.startswith(".terraform")]
    assert json.loads((root / "local.tfvars.json").read_text())["vultr_api_key"] == "the-local-key"
    assert (root / "local.tfvars.json").stat().st_mode & 0o077 == 0


def test_names_decide_which_vultr(monkeypatch):
    assert chosen().is_local
    for name, local in (("local", True), ("local-walk", True), ("locality", False), ("elephant", False)):
        assert Cluster(name).is_local is local


def test_a_client_trusts_no_authority_of_the_world(local):
    local.make_folder()
    told = environment.clients(local, [])
    assert Path(told["SSL_CERT_DIR"]).is_dir() and not list(Path(told["SSL_CERT_DIR"]).iterdir())
