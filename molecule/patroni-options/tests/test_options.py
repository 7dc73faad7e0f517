"""What each option does, judged by patronictl, psql, etcdctl and systemd. alpha on db-1 leads for as long as it lives: beta never may."""

import json
import time

DATA = "/srv/pg/17/main"
LEADER, STANDBY = "db-1", "db-2"
HERE = "The settings of this host are in place"
UNREAD = "What Patroni has not read yet is read now"
RELOAD = "Reload Patroni"
SETTINGS = "The cluster's settings are those of the variables"


def members(hosts):
    return {it["Member"]: it for it in json.loads(hosts.sh(LEADER, "patronictl list --format json"))}


def config(hosts):
    command = "patronictl show-config | python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'"
    return json.loads(hosts.sh(LEADER, command))


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def pending(hosts):
    return {name for name, it in members(hosts).items() if it.get("Pending restart")}


def test_members_have_the_names_the_cluster_and_the_tags_that_were_given(hosts):
    rows = members(hosts)
    assert {name: (it["Cluster"], it["Role"]) for name, it in rows.items()} == {
        "alpha": ("other", "Leader"),
        "beta": ("other", "Sync Standby"),
    }
    assert rows["alpha"]["Tags"] == {"place": "cellar"} and rows["beta"]["Tags"] == {"nofailover": True}
    # A tag that Patroni knows is obeyed.
    said = hosts.sh(LEADER, "patronictl switchover other --leader alpha --candidate beta --force 2>&1", ok=False)
    assert "Successfully switched over" not in said and members(hosts)["alpha"]["Role"] == "Leader", said


def test_the_data_are_where_they_were_told_to_be_and_nowhere_else(hosts):
    for name in (LEADER, STANDBY):
        assert hosts.sql(name, "SHOW data_directory") == DATA
        assert hosts.sh(name, f"stat -c '%a %U' {DATA}; ls -A /var/lib/postgresql") == "700 postgres"
        assert DATA in hosts.sh(name, "systemctl show patroni --property RequiresMountsFor")
        assert hosts.sql(name, "SHOW ssl_cert_file") == "/srv/tls/elephant/postgresql.crt"


def test_etcd_lets_in_the_user_that_was_named_and_has_the_cluster_under_its_scope(hosts):
    keys = hosts.sh("etcd-1", "set -a; . /etc/elephant/etcdctl.env; etcdctl get /service/ --prefix --keys-only")
    assert {it.split("/")[2] for it in keys.split()} == {"other"}
    assert hosts.sh("etcd-1", "set -a; . /etc/elephant/etcdctl.env; etcdctl user list").split() == ["keeper", "root"]


def test_the_preset_with_what_was_set_over_it_is_in_force(hosts):
    found = config(hosts)
    wanted = {"ttl": 45, "loop_wait": 5, "retry_timeout": 10, "primary_start_timeout": 15, "synchronous_mode_strict": True}
    assert {it: found[it] for it in wanted} == wanted and "maximum_lag_on_failover" not in found
    # What is null is not there, and has the default of Patroni.
    assert "wal_keep_size" not in found["postgresql"]["parameters"]
    wanted = {"max_connections": "120", "wal_sender_timeout": "4s", "wal_keep_size": "128MB"}
    assert {it: hosts.sql(LEADER, f"SHOW {it}") for it in wanted} == wanted
    # A member's own.
    assert {hosts.sql(it, "SHOW log_statement") for it in (LEADER, STANDBY)} == {"ddl"}


def test_a_line_of_ones_own_comes_before_those_of_the_clients(hosts):
    query = "SELECT user_name[1] || ' ' || netmask || ' ' || auth_method FROM pg_hba_file_rules WHERE type = 'hostssl' ORDER BY rule_number"
    rows = hosts.sql(LEADER, query).splitlines()
    assert rows.index("auditor 255.255.255.128 scram-sha-256") < rows.index("all 255.255.255.0 scram-sha-256")


def test_what_waits_for_a_restart_is_said_wherever_it_was_set(hosts, converge):
    started = {name: hosts.sql(name, "SELECT pg_postmaster_start_time()") for name in (LEADER, STANDBY)}
    cluster = {"max_connections": 120, "wal_sender_timeout": "4s", "wal_keep_size": None}
    # Of this host's own file one that everybody thinks of and one that few do, and one of the cluster's settings.
    here = {"shared_buffers": "264MB", "autovacuum_freeze_max_age": 300000000}
    run = converge("-e", json.dumps({"postgresql_parameters": here, "patroni_parameters": cluster | {"track_activity_query_size": 2048}}))
    assert run.status == 0, run.output
    assert run.changed == {(name, task) for name in (LEADER, STANDBY) for task in (HERE, UNREAD, RELOAD)} | {(LEADER, SETTINGS)}, run.output
    for names in (
        "alpha: autovacuum_freeze_max_age, shared_buffers, track_activity_query_size",
        "beta: autovacuum_freeze_max_age, shared_buffers",
    ):
        assert names in run.said, run.output
    until(lambda: pending(hosts) == {"alpha", "beta"})
    # Put back, nothing waits. (By its value: of one that is taken away PostgreSQL says for ever that it waits.)
    here, there = {"autovacuum_freeze_max_age": 200000000}, {"track_activity_query_size": 1024}
    run = converge("-e", json.dumps({"postgresql_parameters": here, "patroni_parameters": cluster | there}))
    assert run.status == 0, run.output
    until(lambda: not pending(hosts))
    run = converge()
    assert run.status == 0 and "a restart is pending" not in run.said, run.output
    assert started == {name: hosts.sql(name, "SELECT pg_postmaster_start_time()") for name in (LEADER, STANDBY)}


def test_a_mount_point_is_refused_as_data_directory(hosts, converge):
    hosts.sh(LEADER, "mkdir -p /srv/disk && mount -t tmpfs none /srv/disk && mkdir /srv/disk/lost+found")
    try:
        run = converge("-e", "postgresql_data_directory=/srv/disk", "-e", "patroni_data_directory=/srv/disk", "--limit", LEADER)
        assert run.status != 0 and "/srv/disk is itself a mount point of db-1; keep the data in a folder below it" in run.said, run.output
        assert run.changed == set()
    finally:
        hosts.sh(LEADER, "umount /srv/disk && rmdir /srv/disk")


def test_strict_writes_stop_while_no_standby_is_synchronous(hosts):
    write = "timeout 10 runuser -u postgres -- psql -Xqd postgres -c 'SELECT pg_logical_emit_message(true, $$t$$, $$w$$)'"
    hosts.sh(LEADER, write)
    hosts.sh(STANDBY, "systemctl stop patroni")
    try:
        hosts.wait(LEADER, "SELECT count(*) FROM pg_stat_replication", "0")
        until(lambda: "beta" not in members(hosts) or members(hosts)["beta"]["Role"] != "Sync Standby")
        assert hosts.sh(LEADER, f"{write} >/dev/null 2>&1; echo $?") == "124"
    finally:
        hosts.sh(STANDBY, "systemctl start patroni")
    hosts.wait(LEADER, "SELECT sync_state FROM pg_stat_replication", "sync")
    hosts.sh(LEADER, write)
