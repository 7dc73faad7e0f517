"""A host that was never met boots perhaps, and is waited for; one whose key is known is there or it is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    (tmp_path / "hosts.yml").write_text(HOST % host)
    (tmp_path / "play.yml").write_text(PLAY.format(root=ROOT))
    run = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", tmp_path / "hosts.yml", tmp_path / "play.yml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ
        | {"ELEPHANT_HOME": str(tmp_path / "home"), "CLUSTER": "test", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    first = run.stdout.split("TASK [A new host is waited for]")[1].split("TASK")[0]
    assert ("skipping: [node-1]" not in first) == waits, run.stdout
