"""On a living cluster: what was changed by hand or by a variable is put right, and nothing else; PostgreSQL is restarted by nobody."""

import json

import pytest

SERVICE = "The service runs, now and after a boot"
SETTINGS = "The cluster's settings are those of the variables"
CONFIGURATION = "The member's configuration is in place"
FOLDERS = "The folders of the configuration are as they should be"
UNREAD = "What Patroni has not read yet is read now"
RELOAD = "Reload Patroni"
UNIT = "The unit is ours"
RESTART = "A changed unit or another version of Patroni is in force, and PostgreSQL went on"
FOLDER = "/etc/elephant/patroni"


def said(run):
    """What a run printed as one line, so that a sentence is found wherever it was broken."""
    return " ".join(run.output.split())


def test_a_stopped_standby_is_started_and_nothing_else_changes(converge, cluster):
    lead, standby = cluster.leader(), cluster.standby()
    primary = cluster.postmasters()[lead]
    cluster.sh(standby, "systemctl stop patroni")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {(standby, SERVICE)}, run.output
    assert "/dev/watchdog is missing, so nothing fences a host whose Patroni hangs" in said(run)
    assert cluster.postmasters()[lead] == primary
    cluster.whole()


def test_what_was_changed_by_hand_is_put_right_and_nothing_else(converge, cluster):
    lead, before = cluster.leader(), cluster.postmasters()
    cluster.sh("db-1", f"echo '# by hand' >> {FOLDER}/patroni.yml")
    cluster.sh("db-2", f"chmod 0777 {FOLDER}; chown postgres {FOLDER}; chmod 0755 /root/.config/patroni")
    cluster.sh(lead, "patronictl edit-config --force --quiet --set check_timeline=null --set loop_wait=3")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {("db-1", CONFIGURATION), ("db-1", UNREAD), ("db-1", RELOAD), ("db-2", FOLDERS), (lead, SETTINGS)}, run.output
    assert cluster.sh("db-2", f"stat -c '%a %U %G' {FOLDER} /root/.config/patroni") == "750 root postgres\n700 root root"
    assert cluster.config()["check_timeline"] is True and cluster.config()["loop_wait"] == 1
    assert cluster.postmasters() == before


def test_changed_settings_are_in_force_or_listed_and_nothing_restarts(converge, cluster):
    before, lead = cluster.postmasters(), cluster.leader()
    asked = {"patroni_dynamic_settings": {"ttl": 25}, "patroni_parameters": {"max_connections": 210}}
    run = converge("-e", json.dumps(asked))
    assert run.status == 0, run.output
    assert run.changed == {(lead, SETTINGS)}, run.output
    assert "a restart is pending, apply it with" in said(run) and "max_connections" in said(run)
    assert cluster.config()["ttl"] == 25 and cluster.config()["postgresql"]["parameters"]["max_connections"] == 210
    cluster.until(lambda: {it.get("Pending restart") for it in cluster.members().values()} == {"*"})
    assert cluster.sql(lead, "SHOW max_connections") == "200"
    # In force is what etcd granted to the leader's lease: at its next loop it asks for one anew.
    cluster.until(lambda: cluster.lease() == 25)
    assert cluster.postmasters() == before and cluster.leader() == lead


def test_what_was_changed_goes_back_and_nothing_is_pending_then(converge, cluster):
    before, lead = cluster.postmasters(), cluster.leader()
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {(lead, SETTINGS)}, run.output
    cluster.until(lambda: not [it for it in cluster.members().values() if it.get("Pending restart")])
    assert cluster.config()["ttl"] == 20 and cluster.postmasters() == before and cluster.leader() == lead


def test_a_paused_cluster_stays_paused_and_the_run_says_so(converge, cluster):
    cluster.sh("db-1", "patronictl pause --wait")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == set(), run.output
    assert "the cluster is paused" in said(run)
    assert cluster.config()["pause"] is True
    cluster.sh("db-1", "patronictl resume --wait")


def test_a_changed_unit_and_an_upgraded_package_are_in_force_and_postgresql_went_on(converge, cluster):
    before, patronis, lead = cluster.postmasters(), cluster.patronis(), cluster.leader()
    unit = "/etc/systemd/system/patroni.service"
    cluster.sh("db-1", f"sed -i 's/^Restart=always/Restart=no/' {unit} && systemctl daemon-reload")
    # As an upgrade does it, but for the restart by which Debian's package would stop PostgreSQL.
    cluster.sh(
        "db-2",
        "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d &&"
        " apt-get install --reinstall --yes patroni && rm /usr/sbin/policy-rc.d && touch /dev/watchdog",
    )
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {("db-1", UNIT), ("db-1", RESTART), ("db-2", RESTART)}, run.output
    assert cluster.postmasters() == before and cluster.leader() == lead
    assert not [name for name, at in cluster.patronis().items() if at == patronis[name]], "a Patroni was not restarted"
    assert cluster.sh("db-1", "systemctl show patroni --property Restart,NeedDaemonReload") == "Restart=always\nNeedDaemonReload=no"
    assert cluster.config().get("pause") is None
    # Where there is a device the unit gives it to Patroni. (This one is an ordinary file; Patroni notices and does without.)
    assert cluster.sh("db-2", "stat -c %U /dev/watchdog; rm /dev/watchdog") == "postgres"
    cluster.whole()


def test_what_an_interrupted_run_left_is_finished(converge, cluster):
    before, patronis = cluster.postmasters(), cluster.patronis()
    # Written and not read; and paused for a restart of Patroni that never came back to resume.
    cluster.sh("db-1", f"touch {FOLDER}/patroni.yml")
    cluster.sh("db-2", "mkdir -p /var/lib/elephant && touch /var/lib/elephant/patroni.paused && patronictl pause --wait")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {("db-1", UNREAD), ("db-1", RELOAD), ("db-2", RESTART)}, run.output
    assert cluster.config().get("pause") is None
    assert cluster.postmasters() == before and cluster.patronis() == patronis


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"patroni_postgresql_version": "18"}, "patroni_postgresql_version is 18, and db-1 has the data of a cluster of version 17"),
        ({"patroni_scope": "other"}, "patroni_scope is other, and db-1 lives with elephant"),
        ({"patroni_settings": {"restapi": {"listen": "nowhere"}}}, "is refused by patroni"),
    ],
    ids=["another major version", "another scope", "what Patroni's validator refuses"],
)
def test_what_a_living_member_cannot_take_is_refused_before_anything_changes(converge, cluster, variables, sentence):
    before = cluster.everything()
    run = converge("-e", json.dumps(variables))
    assert run.status != 0
    assert sentence in said(run), run.output
    assert run.changed == set() and cluster.everything() == before


def test_after_a_failover_a_run_changes_nothing_whoever_leads(converge, cluster):
    old = cluster.leader()
    cluster.sh(old, "kill -KILL $(head -n 1 /var/lib/postgresql/17/main/postmaster.pid)")
    cluster.until(lambda: cluster.leader() != old)
    cluster.whole()
    before = cluster.everything()
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == set(), run.output
    assert cluster.everything() == before
