"""A host that was never met boots perhaps, and is waited for; one whose key is known is there or it is not. So with its address."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
PLAY = """
- hosts: node-1
  gather_facts: false
  vars_files: [{root}/playbooks/vars/cluster.yml]
  tasks:
    - ansible.builtin.import_tasks: {root}/playbooks/tasks/reach.yml
"""
HOST = "all: {hosts: {node-1: {ansible_connection: local, cluster_address: 127.0.0.1%s}}}\n"
ID = "cb676a46-66fd-4dfb-b839-443f2e6c0b60"


def reach(folder: Path, inventory: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """reach.yml on these hosts."""
    (folder / "hosts.yml").write_text(inventory)
    (folder / "play.yml").write_text(PLAY.format(root=ROOT))
    home = {"ELEPHANT_HOME": str(folder / "home"), "CLUSTER": "test", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", folder / "hosts.yml", folder / "play.yml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | home | environment,
    )


@pytest.mark.parametrize(
    ("secrets", "known", "host", "waits"),
    [
        (False, "", "", True),
        (True, "", "", False),
        (True, ID, f", vultr_id: {ID}", False),
        (True, "", f", vultr_id: {ID}", True),
        (True, "another", f", vultr_id: {ID}", True),
    ],
    ids=["first run", "static inventory", "known", "new, no keys yet", "new"],
)
def test_who_is_waited_for(tmp_path, secrets, known, host, waits):
    home = tmp_path / "home/test"
    home.mkdir(parents=True)
    if secrets:
        (home / "secrets.yml").write_text("{}\n")
    if known:
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        (home / "known_hosts").write_text(f"{known} {key.with_suffix('.pub').read_text()}")
        # As Debian's ssh keeps them: no name can be read.
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", home / "known_hosts"], check=True, capture_output=True)
    run = reach(tmp_path, HOST % host)
    assert run.returncode == 0, run.stdout + run.stderr
    first = run.stdout.split("TASK [A new host is waited for]")[1].split("TASK")[0]
    assert ("skipping: [node-1]" not in first) == waits, run.stdout


def first_boot(folder: Path, cloud_init: str = "", has_address: bool = False) -> subprocess.CompletedProcess[str]:
    """reach.yml on a host of a known cluster whose `ip` has the address only when the file `up` is there, and which has this cloud-init."""
    (folder / "home/test").mkdir(parents=True)
    (folder / "home/test/secrets.yml").write_text("{}\n")
    if has_address:
        (folder / "up").touch()
    links = '[{"addr_info": [{"local": "192.0.2.7", "prefixlen": 24}]}]'
    programs = {"ip": f"if [ -e {folder}/up ]; then echo '{links}'; else echo '[{{}}]'; fi"} | (
        {"cloud-init": cloud_init} if cloud_init else {}
    )
    (folder / "bin").mkdir()
    for name, body in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / "bin" / name).chmod(0o755)
    host = "all: {hosts: {node-1: {ansible_connection: local, cluster_address: 192.0.2.7, node_cloud_init_timeout: 1}}}\n"
    return reach(folder, host, PATH=f"{folder}/bin:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("cloud_init", "sentence"),
    [("", "attach it to the VPC"), ("true", "attach it to the VPC"), ("exec sleep 60", "its first boot is not over (cloud-init status)")],
    ids=["none", "over", "not over in time"],
)
def test_an_address_that_does_not_come(tmp_path, cloud_init, sentence):
    run = first_boot(tmp_path, cloud_init)
    assert run.returncode != 0
    said = re.sub(r"\s+", " ", run.stdout)
    assert "node-1 has no interface with its cluster address 192.0.2.7" in said and sentence in said, said


def test_an_address_that_a_first_boot_brings_late(tmp_path):
    run = first_boot(tmp_path, f'[ "$*" = "status --wait" ] && touch {tmp_path}/up')
    assert run.returncode == 0, run.stdout


def test_a_host_that_has_its_address_is_asked_for_nothing_else(tmp_path):
    run = first_boot(tmp_path, f"touch {tmp_path}/asked", has_address=True)
    assert run.returncode == 0 and not (tmp_path / "asked").exists(), run.stdout


def test_patience_is_that_of_the_role():
    default = yaml.safe_load((ROOT / "roles/node/defaults/main.yml").read_text())["node_cloud_init_timeout"]
    assert f"node_cloud_init_timeout | default({default})" in (ROOT / "playbooks/tasks/reach.yml").read_text()
