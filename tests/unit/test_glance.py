"""What a glance answers is what its module would have returned; what a glance cannot answer is left to the module."""

import grp
import os
import pwd
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PLUGINS = "ansible_collections.elephant.ha.plugins"
ACTIONS = Path(__file__).parents[2] / "plugins/action"
NAMES = sorted(path.stem for path in ACTIONS.glob("*.py") if "plugin_utils.glance" in path.read_text())


def on_this_host(command: str, in_data: bytes) -> dict[str, Any]:
    run = subprocess.run(["sh", "-c", command], input=in_data, capture_output=True, check=False)
    return {"rc": run.returncode, "stdout": run.stdout.decode(), "stderr": run.stderr.decode()}


def action(name: str, arguments: dict[str, Any]) -> Any:
    it = object.__new__(import_module(f"{PLUGINS}.action.{name}").ActionModule)
    it._task = SimpleNamespace(args=arguments, delegate_to=None)
    it._low_level_execute_command = on_this_host
    return it


def glance(name: str, arguments: dict[str, Any], python: str = sys.executable) -> dict[str, Any] | None:
    return action(name, arguments)._glance({"ansible_python_interpreter": python})


class Done(Exception):
    """Raised in place of the module's end, with what it returns."""


def returned(name: str, arguments: dict[str, Any], monkeypatch: Any) -> dict[str, Any]:
    """What the module returns that runs in this process."""
    module = import_module(f"{PLUGINS}.modules.{name}")
    defaults = {option: it.get("default") for option, it in module.ARGUMENTS.items()}

    def exit_json(**result: Any) -> None:
        raise Done({key: value for key, value in result.items() if key != "changed"})

    fake = SimpleNamespace(params={**defaults, **arguments}, check_mode=False, exit_json=exit_json)
    monkeypatch.setattr(module, "AnsibleModule", lambda **_: fake)
    with pytest.raises(Done) as done:
        module.main()
    return done.value.args[0]


def test_there_are_some():
    assert {"node_info", "etcd_info", "firewall"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_sources_that_are_sent_are_all_that_it_imports(name, monkeypatch):
    """With no argument at all it comes as far as its first use of one."""
    said = {}

    def keep(command: str, in_data: bytes) -> dict[str, Any]:
        said.update(on_this_host(command, in_data))
        return said

    it = action(name, {})
    it._low_level_execute_command = keep
    monkeypatch.setattr(it.module, "ARGUMENTS", {})
    assert it._glance({"ansible_python_interpreter": sys.executable}) is None
    assert "KeyError" in said["stderr"].splitlines()[-1]


def test_it_answers_what_the_module_returns(tmp_path, monkeypatch):
    arguments = {"packages": ["dpkg", "no-such-package"], "data_directory": str(tmp_path / "data"), "paths": ["/etc", "/nowhere"]}
    found = glance("postgresql_host_info", arguments)
    assert found["missing"] == ["no-such-package"]
    assert found["absent"] == [str(tmp_path / "data"), "/nowhere"]
    assert found == returned("postgresql_host_info", arguments, monkeypatch)


def test_only_rules_that_are_in_force_need_no_module(tmp_path):
    """Whatever is to be done, the module does."""
    assert glance("firewall", {"state": "applied", "ruleset": "table inet x {}", "path": str(tmp_path / "rules")}) is None
    assert glance("firewall", {"state": "confirmed", "ruleset": "table inet x {}"}) is None


def test_rules_that_are_in_force_need_none(tmp_path, monkeypatch):
    """With an nft that lists what was sealed; one byte more is a change by hand."""
    firewall = import_module(f"{PLUGINS}.modules.firewall")
    rules, seal = tmp_path / "rules.nft", tmp_path / "rules.sha256"
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\nprintf 'table'\n")
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    rules.write_text("table inet x {}\n")
    seal.write_text(firewall.hashlib.sha256(b"table").hexdigest() + "\n")
    monkeypatch.setattr(firewall.Path, "stat", lambda self: SimpleNamespace(st_uid=0, st_mode=0o100644))
    asked = {"state": "applied", "ruleset": "table inet x {}", "table": "inet x", "path": str(rules)}
    assert firewall.glance(asked) == {"reason": ""}
    nft.write_text("#!/bin/sh\nprintf 'tables'\n")
    assert firewall.glance(asked) is None


@pytest.mark.parametrize(
    ("arguments", "python"),
    [
        ({"packages": ["dpkg"]}, sys.executable),
        ({"packages": ["dpkg"], "data_directory": "/x", "unknown": 1}, sys.executable),
        ({"packages": ["dpkg"], "data_directory": "/x"}, "/no/such/python"),
        ({"packages": ["dpkg"], "data_directory": "/x"}, "auto"),
    ],
    ids=["an argument is missing", "an argument is unknown", "there is no such Python", "which Python is not known"],
)
def test_what_cannot_be_asked_is_left_to_the_module(arguments, python):
    assert glance("postgresql_host_info", arguments, python) is None


@pytest.fixture(name="leaves")
def leaves_fixture(tmp_path):
    """The arguments of leaf_requests for a folder in which everything is as it should be, all of it mine."""
    pki = import_module(f"{PLUGINS}.module_utils.leaves")
    mine = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
    leaf = {"name": "server", "common_name": "node-1", "subject_alt_names": ["DNS:node-1"], "usages": ["serverAuth"], **mine}
    ca_key, key = pki.new_key(), pki.new_key()
    ca = pki.self_signed("CA", ca_key, 3650, pki.now())
    wanted = pki.Leaf.of({**leaf, "certificate": "", "private_key": ""})
    folder = tmp_path / "leaves"
    folder.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    texts = {
        "server.key": pki.key_pem(key).decode(),
        "server.crt": pki.certificate_pem(pki.sign(wanted, pki.request(wanted, key), ca, ca_key, 730, pki.now())),
        "ca.crt": pki.certificate_pem(ca),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600 if name.endswith(".key") else 0o644)
    return {"directory": str(folder), "ca_certificate": texts["ca.crt"], "leaves": [leaf]}


@pytest.mark.skipif(os.getuid() != 0, reason="the folder of the certificates is root's")
def test_certificates_that_are_not_due_need_no_module(leaves):
    found = glance("leaf_requests", leaves)
    assert (found["due"], found["requests"]) == ({}, {})
    assert found["days_left"]["server"] in (729, 730)


@pytest.mark.skipif(os.getuid() != 0, reason="the folder of the certificates is root's")
@pytest.mark.parametrize("name", ["server.key", "server.crt", "ca.crt", "."])
def test_an_open_or_missing_file_of_a_certificate_is_the_modules(leaves, name):
    path = Path(leaves["directory"]) / name
    path.chmod(path.stat().st_mode | 0o020)
    assert glance("leaf_requests", leaves) is None
    if path.is_file():
        path.unlink()
        assert glance("leaf_requests", leaves) is None


@pytest.mark.skipif(os.getuid() != 0, reason="the folder of the certificates is root's")
def test_a_certificate_that_is_due_is_the_modules(leaves):
    assert glance("leaf_requests", {**leaves, "renew_before_days": 731}) is None
    assert glance("leaf_requests", {**leaves, "ca_certificate": ""}) is None


def test_users_that_are_as_they_should_be_need_no_module(monkeypatch):
    module = import_module(f"{PLUGINS}.modules.etcd_access")
    monkeypatch.setattr(module, "steps", lambda _, *, dry: [] if dry else ["changed"])
    assert module.glance({}) == {"steps": [], "diff": {}}
    monkeypatch.setattr(module, "steps", lambda _, *, dry: ["user patroni"] if dry else [])
    assert module.glance({}) is None
