"""On a living cluster: what was changed by hand or by a variable is put right, and nothing else; PostgreSQL is restarted by nobody."""

import json
import time

import pytest

SERVICE = "The service runs, now and after a boot"
SETTINGS = "The cluster's settings are those of the variables"


@pytest.fixture
def cluster(host):
    """The members as hosts, by name."""
    group = [it["name"] for it in host.ansible.get_variables()["patroni_members"]]
    return {
        name: host if name == host.backend.host else host.get_host(f"ansible://{name}", ansible_inventory=host.backend.ansible_inventory)
        for name in group
    }


def listed(host):
    return {it["Member"]: it["Role"] for it in json.loads(host.check_output("patronictl list --format json"))}


def leader(host):
    return next(name for name, role in listed(host).items() if role == "Leader")


def started(cluster):
    """When each PostgreSQL was started: the proof that none was restarted."""
    return {name: it.check_output("head -n 3 /var/lib/postgresql/17/main/postmaster.pid") for name, it in cluster.items()}


def config(host):
    return json.loads(
        host.check_output("patronictl show-config | python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'")
    )


def until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.5)


def test_a_stopped_standby_and_a_removed_setting_are_put_right_and_nothing_else(converge, host, cluster):
    lead = leader(host)
    standby = next(name for name in cluster if name != lead)
    primary = started({lead: cluster[lead]})
    cluster[standby].check_output("systemctl stop patroni")
    host.check_output("patronictl edit-config --force --quiet --set check_timeline=null --set loop_wait=3")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {(standby, SERVICE), (lead, SETTINGS)}, run.output
    assert config(host)["check_timeline"] is True and config(host)["loop_wait"] == 1
    assert started({lead: cluster[lead]}) == primary
    assert sorted(listed(host).values()) == ["Leader", "Sync Standby"]


def test_changed_settings_are_in_force_or_listed_and_nothing_restarts(converge, host, cluster):
    before, lead = started(cluster), leader(host)
    asked = {"patroni_dynamic_settings": {"ttl": 25}, "patroni_parameters": {"max_connections": 210}}
    run = converge("-e", json.dumps(asked))
    assert run.status == 0, run.output
    assert run.changed == {(lead, SETTINGS)}, run.output
    assert "a restart is pending" in run.output and "max_connections" in run.output
    assert config(host)["ttl"] == 25 and config(host)["postgresql"]["parameters"]["max_connections"] == 210
    assert host.check_output("runuser -u postgres -- psql -XAtc 'SHOW max_connections'") == "200"
    assert started(cluster) == before and leader(host) == lead


def test_after_a_switchover_what_was_changed_goes_back_in_a_run_that_restarts_nothing(converge, host, cluster):
    old = leader(host)
    host.check_output(f"patronictl switchover --leader {old} --candidate {next(it for it in cluster if it != old)} --force")
    until(lambda: sorted(listed(host).values()) == ["Leader", "Sync Standby"])
    before, lead = started(cluster), leader(host)
    assert lead != old
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {(lead, SETTINGS)}, run.output
    assert config(host)["ttl"] == 20 and started(cluster) == before and leader(host) == lead


def test_a_paused_cluster_stays_paused_and_the_run_says_so(converge, host, cluster):
    host.check_output("patronictl pause --wait")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == set(), run.output
    assert "the cluster is paused" in run.output
    assert config(host)["pause"] is True
    host.check_output("patronictl resume --wait")
