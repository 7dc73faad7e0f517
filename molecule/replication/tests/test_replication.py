"""Judged by PostgreSQL's own views and by rows. They run in their order: a whole pair, refusals, a death, a promotion, a way back."""

import pytest

REPLICAS = """
SELECT r.application_name, r.state, r.sync_state, s.ssl, s.version, s.client_dn, r.usename
  FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid)"""

# In bytes; it counts what the walsender has not read yet, too.
LAG = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), replay_lsn) FROM pg_stat_replication"


@pytest.fixture(scope="module", autouse=True)
def table(hosts):
    hosts.sql("db-1", "DROP TABLE IF EXISTS proof; CREATE TABLE proof (n int PRIMARY KEY, at text)")


def streams(hosts, standby, primary):
    """The judges of a pair that is whole: both ends' views, and the slot."""
    hosts.wait(standby, "SELECT status FROM pg_stat_wal_receiver", "streaming")
    hosts.wait(primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1")
    name = standby.replace("-", "_")
    assert hosts.sql(primary, REPLICAS) == f"{standby}|streaming|async|t|TLSv1.3|/CN=replicator|replicator"
    assert hosts.sql(primary, "SELECT slot_name, active, wal_status FROM pg_replication_slots") == f"{name}|t|reserved"
    assert hosts.sql(standby, "SELECT count(*) FROM pg_replication_slots") == "0"
    receiver = hosts.sql(standby, "SELECT status, sender_host, slot_name, conninfo ~ 'sslmode=verify-full' FROM pg_stat_wal_receiver")
    assert receiver == f"streaming|{hosts.addresses[primary]}|{name}|t"
    assert hosts.sql(primary, "SELECT pg_is_in_recovery()") == "f"
    assert hosts.sql(standby, "SELECT pg_is_in_recovery()") == "t"


def write(hosts, primary, number):
    hosts.sql(primary, f"INSERT INTO proof VALUES ({number}, '{primary}')")


def rows(hosts, name):
    return hosts.sql(name, "SELECT string_agg(n || ':' || at, ' ' ORDER BY n) FROM proof")


def same_rows(hosts, standby, primary):
    position = hosts.sql(primary, "SELECT pg_current_wal_lsn()")
    hosts.wait(standby, f"SELECT pg_last_wal_replay_lsn() >= '{position}'", "t")
    assert rows(hosts, standby) == rows(hosts, primary)
    return rows(hosts, standby)


def test_the_standby_streams_over_verified_tls_through_its_slot(hosts):
    streams(hosts, "db-2", "db-1")


def test_a_row_arrives_and_the_standby_takes_none(hosts):
    write(hosts, "db-1", 1)
    assert same_rows(hosts, "db-2", "db-1") == "1:db-1"
    assert "read-only transaction" in hosts.sql("db-2", "INSERT INTO proof VALUES (2, 'db-2')", ok=False)


def test_the_standby_keeps_up_with_pgbench(hosts):
    bench = "runuser -u postgres -- /usr/lib/postgresql/17/bin/pgbench"
    hosts.sh("db-1", f"{bench} --quiet -i -s 3 postgres 2>&1")
    ask = f'runuser -u postgres -- psql -XAtc "{LAG}"'
    sampled = f"while kill -0 $!; do {ask}; sleep 0.1; done 2>/dev/null; wait $!"
    behind = hosts.sh("db-1", f"{bench} -c 4 -T 5 postgres >/dev/null 2>&1 & {sampled}")
    # Asynchronous: under load it is behind by what is on its way, and without load by nothing.
    assert max(map(int, behind.split())) > 0
    hosts.wait("db-1", LAG, "0")
    position = hosts.sql("db-1", "SELECT pg_current_wal_lsn()")
    hosts.wait("db-2", f"SELECT pg_last_wal_replay_lsn() >= '{position}'", "t")
    sums = "SELECT count(*), sum(delta) FROM pgbench_history"
    assert hosts.sql("db-1", sums) == hosts.sql("db-2", sums) != "0|"
    hosts.wait("db-1", f"SELECT replay_lsn >= '{position}' FROM pg_stat_replication", "t")


def test_debians_own_tools_know_the_cluster(hosts):
    assert hosts.sh("db-1", "pg_lsclusters --no-header").split()[:5] == ["17", "main", "5432", "online", "postgres"]
    assert hosts.sh("db-2", "pg_lsclusters --no-header").split()[:5] == ["17", "main", "5432", "online,recovery", "postgres"]
    for name in ("db-1", "db-2"):
        assert hosts.sh(name, "systemctl is-active postgresql@17-main") == "active"
        assert hosts.sh(name, "grep -v '^#' /etc/postgresql/17/main/start.conf | grep .") == "auto"


def test_access_ends_closed_and_names_exactly_the_members(hosts):
    both = " ".join(f"{hosts.addresses[it]}" for it in ("db-1", "db-2"))
    for name in ("db-1", "db-2"):
        assert hosts.sql(name, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust' OR error IS NOT NULL") == "0"
        replication = (
            "SELECT string_agg(address, ' ' ORDER BY address), min(auth_method) FROM pg_hba_file_rules"
            " WHERE database = '{replication}' AND auth_method <> 'reject'"
        )
        assert hosts.sql(name, replication) == f"{both}|cert"
        assert hosts.sql(name, "SELECT auth_method FROM pg_hba_file_rules ORDER BY rule_number DESC LIMIT 1") == "reject"
        listening = hosts.sh(name, "ss -Hltn | awk '{print $4}' | grep 5432")
        assert listening == f"{hosts.addresses[name]}:5432"


def test_the_certificate_of_another_purpose_streams_nothing(hosts):
    keys = "sslcert=/etc/elephant/certificates/rewinder.crt sslkey=/etc/elephant/certificates/rewinder.key"
    words = f"host={hosts.addresses['db-1']} user=replicator replication=true sslmode=require {keys}"
    said = hosts.sh("db-2", f"runuser -u postgres -- psql -d '{words}' -c IDENTIFY_SYSTEM", ok=False)
    assert "certificate authentication failed" in said


def test_swapped_roles_are_refused_with_the_command_that_was_meant(converge):
    run = converge("-e", "replication_primary=db-2")
    assert run.status != 0 and not run.changed
    assert "playbooks/replication/promote.yml -e replication_primary=db-2 -e replication_handover=true" in run.said


def test_a_host_that_patroni_manages_is_refused(hosts, converge):
    hosts.sh("db-2", "mkdir -p /etc/elephant/patroni && touch /etc/elephant/patroni/patroni.yml")
    run = converge()
    hosts.sh("db-2", "rm -r /etc/elephant/patroni")
    assert run.status != 0 and "db-2 is managed by Patroni" in run.said


def test_foreign_data_is_refused(hosts, converge):
    place = "/var/lib/postgresql/17/foreign"
    hosts.sh("db-2", f"mkdir {place} && touch {place}/somebodys-file")
    run = converge("-e", f"replication_data_directory={place}")
    assert run.status != 0 and f"db-2 has files in {place} that are not PostgreSQL's" in run.said
    assert hosts.sh("db-2", f"ls {place}; rm -r {place}") == "somebodys-file"


def test_nobody_is_promoted_beside_a_primary_that_answers(hosts, playbook):
    run = playbook("replication/promote.yml", "-e", "replication_primary=db-2")
    assert run.status != 0 and "db-1 still answers as the primary" in run.said
    assert hosts.sql("db-2", "SELECT pg_is_in_recovery()") == "t"


def test_status_shows_both(playbook):
    run = playbook("replication/status.yml")
    assert run.status == 0, run.output
    assert "db-1 primary - running 1" in run.said and "db-2 standby db-1 streaming 1" in run.said


def test_the_primary_dies_and_the_standby_is_promoted(hosts, playbook):
    write(hosts, "db-1", 3)
    same_rows(hosts, "db-2", "db-1")
    hosts.sh(
        "db-1", "systemctl kill --signal=KILL postgresql@17-main; timeout 60 tail --pid $(pgrep -o -x postgres) -f /dev/null", ok=False
    )
    run = playbook("replication/promote.yml", "-e", "replication_primary=db-2")
    assert run.status == 0, run.output
    assert "playbooks/replication/rebuild.yml -e replication_member=db-1" in run.said
    assert rows(hosts, "db-2") == "1:db-1 3:db-1"
    write(hosts, "db-2", 4)


def test_the_old_primary_is_not_started_but_reported(hosts, converge):
    run = converge()
    assert run.status != 0 and not run.changed
    assert "db-1 was a primary (timeline 1) and is stopped; db-2 leads" in run.said
    assert hosts.sh("db-1", "systemctl is-active postgresql@17-main", ok=False) != "active"


def test_two_primaries_are_told_apart(hosts, converge):
    hosts.sh("db-1", "systemctl start postgresql@17-main")
    hosts.wait("db-1", "SELECT pg_is_in_recovery()", "f")
    write(hosts, "db-1", 99)
    run = converge()
    assert run.status != 0 and not run.changed
    assert "More than one member accepts writes: db-1 (timeline 1), db-2 (timeline 2)" in run.said


def test_the_old_primary_is_rewound_and_loses_what_it_wrote_alone(hosts, playbook):
    # It is written to all the while: what comes after pg_rewind has copied the WAL must be streamed before a first session is let in.
    bench = "/usr/lib/postgresql/17/bin/pgbench --client=1 --rate=50 --time=900 postgres"
    hosts.sh("db-2", f"systemd-run --quiet --collect --unit=load --uid=postgres {bench}")
    run = playbook("replication/rebuild.yml", "-e", "replication_member=db-1", "-e", "replication_primary=db-2")
    assert hosts.sh("db-2", "systemctl is-active load; systemctl stop load", ok=False) == "active", "nobody wrote"
    assert run.status == 0, run.output
    streams(hosts, "db-1", "db-2")
    assert same_rows(hosts, "db-1", "db-2") == "1:db-1 3:db-1 4:db-2"


def test_a_standby_that_streams_is_not_rebuilt_by_accident(hosts, playbook):
    started = hosts.sql("db-1", "SELECT pg_postmaster_start_time()")
    run = playbook("replication/rebuild.yml", "-e", "replication_member=db-1")
    assert run.status != 0 and "nothing has to be rebuilt" in run.said
    assert hosts.sql("db-1", "SELECT pg_postmaster_start_time()") == started


def test_the_way_back_is_a_handover_that_loses_nothing(hosts, playbook):
    write(hosts, "db-2", 5)
    run = playbook("replication/promote.yml", "-e", "replication_primary=db-1", "-e", "replication_handover=true")
    assert run.status == 0, run.output
    write(hosts, "db-1", 6)
    streams(hosts, "db-2", "db-1")
    assert same_rows(hosts, "db-2", "db-1") == "1:db-1 3:db-1 4:db-2 5:db-2 6:db-1"


def test_a_copy_of_everything_takes_the_place_of_the_old_data(hosts, playbook):
    run = playbook("replication/rebuild.yml", "-e", "replication_member=db-2", "-e", "replication_rebuild_by=copy")
    assert run.status == 0, run.output
    streams(hosts, "db-2", "db-1")
    assert same_rows(hosts, "db-2", "db-1").endswith("6:db-1")
    assert hosts.sh("db-2", "ls /var/lib/postgresql/17") == "main"
