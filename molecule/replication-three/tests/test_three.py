"""A chain of three, judged by PostgreSQL's views. They run in their order: the last ones break it, and take its head away."""

import json
from concurrent.futures import ThreadPoolExecutor

DELAYED = "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'"
RECONFIGURED = {("db-3", "The settings are in place"), ("db-3", "Reload the server")}


def follows(hosts, standby, upstream):
    hosts.wait(standby, "SELECT status FROM pg_stat_wal_receiver", "streaming")
    assert (
        hosts.sql(standby, "SELECT sender_host, slot_name FROM pg_stat_wal_receiver")
        == f"{hosts.addresses[upstream]}|{standby.replace('-', '_')}"
    )
    seen = "SELECT application_name, s.ssl, s.version, client_dn IS NULL FROM pg_stat_replication JOIN pg_stat_ssl s USING (pid)"
    hosts.wait(upstream, seen, f"{standby}|t|TLSv1.3|t")


def waits_cut_off(hosts):
    """db-3 is in its delay, where PostgreSQL does not connect again; db-2 keeps for it what it has not got."""
    hosts.wait("db-3", DELAYED, "RecoveryApplyDelay")
    hosts.wait("db-2", "SELECT slot_name, active, wal_status FROM pg_replication_slots", "db_3|f|reserved")
    assert hosts.sql("db-3", "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "0"


def rows(hosts, name):
    return hosts.sql(name, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM proof", ok=False)


def test_each_follows_the_one_before_it(hosts):
    follows(hosts, "db-2", "db-1")
    follows(hosts, "db-3", "db-2")


def test_the_last_one_has_received_and_not_replayed(hosts):
    hosts.sql("db-1", "CREATE TABLE IF NOT EXISTS proof (n int PRIMARY KEY)")
    hosts.sql("db-1", "INSERT INTO proof VALUES (1) ON CONFLICT DO NOTHING")
    after = hosts.sql("db-1", "SELECT pg_current_wal_lsn()")
    hosts.wait("db-2", f"SELECT pg_last_wal_replay_lsn() >= '{after}'", "t")
    hosts.wait("db-3", f"SELECT pg_last_wal_receive_lsn() >= '{after}'", "t")
    hosts.wait("db-3", DELAYED, "RecoveryApplyDelay")
    assert hosts.sql("db-3", "SHOW recovery_min_apply_delay") == "1h"
    assert rows(hosts, "db-2") == "1" and 'relation "proof" does not exist' in rows(hosts, "db-3")


def test_a_commit_waits_for_the_second_disk(hosts):
    assert hosts.sql("db-1", "SELECT application_name, sync_state FROM pg_stat_replication") == "db-2|quorum"
    hosts.sh("db-2", "systemctl stop postgresql@17-main")
    with ThreadPoolExecutor(1) as pool:
        # No statement_timeout would end it: that is over when the commit begins.
        waiting = pool.submit(hosts.sql, "db-1", "INSERT INTO proof VALUES (2)", ok=False)
        try:
            hosts.wait("db-1", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "1")
            hosts.sql("db-1", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            said = waiting.result(timeout=120)
        finally:
            hosts.sh("db-2", "systemctl start postgresql@17-main")
    assert "canceling wait for synchronous replication" in said
    follows(hosts, "db-2", "db-1")


def test_a_delayed_standby_that_was_cut_off_is_told_and_no_reason_to_fail(hosts, converge, playbook):
    waits_cut_off(hosts)
    said = playbook("replication/status.yml").said
    assert "db-3 standby - delayed" in said and "db-2 keeps WAL for slot db_3" in said
    assert "db-3 is not connected: it asks for more WAL when it has replayed what it has" in said
    run = converge()
    assert (run.status, run.changed) == (0, set()), run.output


def test_passwords_are_for_exactly_the_members_and_in_no_command(hosts):
    methods = "SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE database = '{replication}'"
    for name in hosts.containers:
        assert set(hosts.sql(name, methods).split()) == {"scram-sha-256", "reject"}
        assert hosts.sh(name, "stat -c '%a %U' /etc/elephant/replication.pgpass") == "600 postgres"
        assert "pass" not in hosts.sql(name, "SHOW primary_conninfo").replace("passfile", "").replace("pgpass", "")


def test_the_head_dies_and_the_chain_goes_on(hosts, playbook):
    hosts.sh("db-1", "systemctl kill --signal=KILL postgresql@17-main")
    delayed = playbook("replication/promote.yml", "-e", "replication_primary=db-3")
    assert delayed.status != 0 and "db-3 replays with a delay" in delayed.said
    run = playbook("replication/promote.yml", "-e", "replication_primary=db-2")
    assert run.status == 0, run.output
    assert hosts.sql("db-2", "SELECT pg_is_in_recovery()") == "f"
    # Nobody is left who could answer for a commit, so nobody is waited for.
    hosts.sql("db-2", "INSERT INTO proof VALUES (4)")
    waits_cut_off(hosts)


def test_the_old_head_is_rebuilt_and_hands_over_again(hosts, playbook):
    run = playbook("replication/rebuild.yml", "-e", "replication_member=db-1")
    assert run.status == 0, run.output
    hosts.wait("db-2", "SELECT sync_state FROM pg_stat_replication WHERE application_name = 'db-1'", "quorum")
    run = playbook("replication/promote.yml", "-e", "replication_primary=db-1", "-e", "replication_handover=true")
    assert run.status == 0, run.output
    follows(hosts, "db-2", "db-1")
    assert rows(hosts, "db-1") == "1 2 4"


def test_without_its_delay_the_last_one_catches_up_over_both_promotions(hosts, converge):
    run = converge("-e", json.dumps({"replication_delays": {}}))
    assert (run.status, run.changed) == (0, RECONFIGURED), run.output
    follows(hosts, "db-3", "db-2")
    position = hosts.sql("db-1", "SELECT pg_current_wal_lsn()")
    hosts.wait("db-3", f"SELECT pg_last_wal_replay_lsn() >= '{position}'", "t")
    assert rows(hosts, "db-3") == "1 2 4"
    run = converge()
    assert (run.status, run.changed) == (0, RECONFIGURED), run.output
