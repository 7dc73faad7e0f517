"""Patroni, PostgreSQL and one etcd member came up by playbooks/patroni/configure.yml, and nothing of the rest did."""

import json

import pytest


@pytest.fixture(autouse=True)
def database_host(host):
    if "postgresql" not in host.ansible.get_variables()["group_names"]:
        pytest.skip("a database host's matter")


def test_has_one_leader_and_a_synchronous_standby(host):
    rows = json.loads(host.check_output("patronictl list --format json"))
    assert {it["Member"]: it["Cluster"] for it in rows} == {"db-1": "alone", "db-2": "alone"}
    assert sorted(it["Role"] for it in rows) == ["Leader", "Sync Standby"]


def test_every_role_of_the_chain_has_the_data_where_they_were_told_to_be(host):
    assert host.check_output("runuser -u postgres -- psql -XAtd postgres -c 'SHOW data_directory'") == "/srv/pg/17/main"
    assert host.check_output("ls -A /var/lib/postgresql") == ""


def test_clients_of_the_network_may_come_with_a_password(host):
    rows = host.check_output(
        "runuser -u postgres -- psql -XAtd postgres -c \"SELECT address, auth_method FROM pg_hba_file_rules WHERE type = 'hostssl'\""
    ).splitlines()
    assert "10.89.23.0|scram-sha-256" in rows


def test_nothing_else_was_installed(host):
    assert not host.package("pgbackrest").is_installed
    assert not host.file("/etc/systemd/system/elephant-firewall.service").exists
