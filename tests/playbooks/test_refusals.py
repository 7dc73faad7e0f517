"""ha.yml and replication/configure.yml refuse inventories that cannot become a cluster, with a sentence; no host is asked for that."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Of the environment that runs this test, whatever is on PATH.
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


def inventory(etcd: int, postgresql: int) -> str:
    """A static inventory whose hosts refuse every connection: port 1 of this machine."""
    hosts = [
        f"    {group}:\n      hosts:\n"
        + "".join(f"        {group}-{number}: {{cluster_address: 192.0.2.{base + number}}}\n" for number in range(1, count + 1))
        for group, count, base in (("etcd", etcd, 10), ("postgresql", postgresql, 20))
        if count
    ]
    return "all:\n  vars: {ansible_host: 127.0.0.1, ansible_port: 1, pgbackrest_enabled: false}\n" + (
        "  children:\n" + "".join(hosts) if hosts else ""
    )


def said(tmp_path: Path, text: str, *options: str, playbook: str = "provision/ha.yml") -> str:
    (tmp_path / "hosts.yml").write_text(text)
    run = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", tmp_path / "hosts.yml", *options, f"playbooks/{playbook}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"ELEPHANT_HOME": str(tmp_path / "home"), "CLUSTER": "test", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
    )
    assert run.returncode != 0, run.stdout
    assert not (tmp_path / "home").exists(), "a refusal must leave nothing behind"
    return re.sub(r"\s+", " ", run.stdout + run.stderr)


@pytest.mark.parametrize(
    ("etcd", "postgresql", "sentence"),
    [
        (0, 0, "0 hosts in group postgresql and 0 in group etcd"),
        (3, 0, "0 hosts in group postgresql and 3 in group etcd"),
        (0, 2, "Without etcd, a plain pair is made by: ansible-playbook playbooks/replication/configure.yml"),
        (2, 2, "etcd_members"),
        (3, 1, "patroni_members"),
    ],
    ids=["no hosts", "no database host", "a plain pair", "one etcd member missing", "one database host missing"],
)
def test_an_inventory_that_is_not_whole(tmp_path, etcd, postgresql, sentence):
    assert sentence in said(tmp_path, inventory(etcd, postgresql))


@pytest.mark.parametrize(
    ("etcd", "postgresql", "sentence"),
    [
        (0, 0, "has 0 hosts in group postgresql and 0 in group etcd"),
        (0, 1, "has 1 hosts in group postgresql and 0 in group etcd"),
        (3, 2, "fails over by itself: ansible-playbook playbooks/provision/ha.yml"),
    ],
    ids=["no hosts", "no standby", "a cluster with etcd"],
)
def test_an_inventory_that_is_no_pair(tmp_path, etcd, postgresql, sentence):
    assert sentence in said(tmp_path, inventory(etcd, postgresql), playbook="replication/configure.yml")


def test_a_host_without_an_address_in_the_network(tmp_path):
    text = inventory(3, 2).replace("postgresql-2: {cluster_address: 192.0.2.22}", "postgresql-2: {cluster_address: ''}")
    assert "postgresql-2 has no cluster_address" in said(tmp_path, text)


def test_a_cluster_without_a_place_for_backups(tmp_path):
    text = inventory(3, 2).replace(", pgbackrest_enabled: false", "")
    assert "There is no place for backups" in said(tmp_path, text)


def test_a_set_of_versions_that_is_none(tmp_path):
    text = inventory(3, 2).replace("vars: {", "vars: {cluster_versions: pgdg, ")
    assert "cluster_versions is pgdg; choose distribution (what the hosts' Debian has) or upstream" in said(tmp_path, text)


@pytest.mark.parametrize(
    ("chosen", "sentence"), [("distribution", "Debian 13 has Patroni 4.0"), ("upstream", "Debian: no etcd_archive is named")]
)
def test_what_the_chosen_versions_lack_is_said_before_anything_is_installed(tmp_path, chosen, sentence):
    text = inventory(3, 2).replace("192.0.2.22", "''").replace("vars: {", f"vars: {{cluster_versions: {chosen}, ")
    refused = said(tmp_path, text)
    assert sentence in refused and "postgresql-2 has no cluster_address" in refused


def test_new_hosts_get_their_data_back_only_when_every_member_is_there(tmp_path):
    wanted = ("--extra-vars", '{"restore_from": {"latest": true}}', "--limit", "etcd,postgresql-1")
    assert "this run leaves out postgresql-2, who could have newer data" in said(tmp_path, inventory(3, 2), *wanted)


def test_a_restore_in_place_stops_every_member(tmp_path):
    text = inventory(3, 2).replace(", pgbackrest_enabled: false", "")
    told = said(tmp_path, text, "--limit", "postgresql-1", playbook="backup/restore.yml")
    assert "leaves out postgresql-2, who could go on with the old data" in told and "--limit '!NAME' -e cluster_removed_node=NAME" in told
