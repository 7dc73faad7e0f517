"""playbooks/patroni on a living cluster: what they refuse, and that they do what they say."""

import re
import subprocess

import pytest

DATA = "/var/lib/postgresql/17/main"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("{leader}", "leads already"),
        ("db-9", "db-9 is no member of the cluster (db-1, db-2)"),
    ],
)
def test_a_switchover_to_nobody_fit_is_refused(playbook, cluster, target, sentence):
    lead = cluster.leader()
    run = playbook("switchover", "-e", f"patroni_candidate={target.format(leader=lead)}")
    assert run.status != 0 and sentence in run.said, run.output
    assert cluster.leader() == lead


def test_a_switchover_is_refused_to_a_standby_that_lags_while_somebody_works_and_without_all_members(playbook, cluster):
    lead, standby = cluster.leader(), cluster.standby()
    run = playbook("switchover", "-e", "patroni_lag_limit_mb=-1")
    assert run.status != 0 and "MiB of WAL to replay, more than -1" in run.said, run.output
    cluster.sh("db-1", "patronictl pause --wait")
    try:
        run = playbook("switchover")
        assert run.status != 0 and "is paused" in run.said, run.output
    finally:
        cluster.sh("db-1", "patronictl resume --wait")
    run = playbook("switchover", "--limit", lead)
    assert run.status != 0 and f"{standby} is left out; run without --limit" in run.said, run.output
    assert cluster.leader() == lead


def test_under_load_the_lead_is_handed_over_and_the_old_leader_follows_without_a_rewind(playbook, cluster):
    old, new = cluster.leader(), cluster.standby()
    cluster.sh(old, "runuser -u postgres -- pgbench -q -i -s 5 postgres")
    cluster.sh(old, "systemd-run --quiet --collect --unit pgbench --uid postgres pgbench -n -c 2 -T 300 postgres")
    since = cluster.sh(old, "date '+%F %T'")
    logged = int(cluster.sh(old, "cat /var/log/postgresql/elephant/*.log | wc -l"))
    run = playbook("switchover")
    cluster.sh(old, "systemctl stop pgbench", ok=False)
    assert run.status == 0, run.output
    said = re.search(rf"{new} leads, {old} follows it; writes paused for ([\d.]+) s", run.said)
    assert said, run.output
    # That it is a measurement and no constant: longer than two tries, and less than the whole run of the playbook.
    assert 0.1 < float(said[1]) < 60
    cluster.whole()
    assert cluster.leader() == new
    # PostgreSQL's own log on its way down and up again, and Patroni's.
    both = f"cat /var/log/postgresql/elephant/*.log | tail -n +{logged + 1}; journalctl -u patroni --since '{since}' --output cat"
    log = cluster.sh(old, both)
    assert "running pg_rewind" not in log.lower()
    assert "was interrupted" not in log and "was shut down at" in log, log[-3000:]
    cluster.sql(new, "DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers")


def test_what_waits_for_a_restart_is_applied_rolling_up_and_down(playbook, converge, cluster):
    for value in (230, 150):
        run = converge("-e", f"{{patroni_parameters: {{max_connections: {value}}}}}")
        assert run.status == 0, run.output
        cluster.until(lambda: {it.get("Pending restart") for it in cluster.members().values()} == {"*"})
        run = playbook("restart")
        assert run.status == 0, run.output
        assert {name: cluster.sql(name, "SHOW max_connections") for name in cluster.names} == dict.fromkeys(cluster.names, str(value))
        assert not [it for it in cluster.members().values() if it.get("Pending restart")]
    before = cluster.postmasters()
    run = playbook("restart")
    assert run.status == 0 and cluster.postmasters() == before, run.output
    run = converge()
    assert run.status == 0, run.output
    run = playbook("restart")
    assert run.status == 0, run.output
    assert cluster.sql("db-1", "SHOW max_connections") == "200"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "patroni_standby is ''; this drops a standby's data"),
        (["patroni_standby=db-9"], "patroni_standby is 'db-9'"),
        (["patroni_standby={leader}"], "its data are never dropped"),
        (["patroni_standby={standby}", "patroni_method=guess"], "patroni_method is 'guess'; choose basebackup"),
        (["patroni_standby={standby}", "patroni_method=repository"], "this cluster has no backups"),
    ],
)
def test_a_copy_that_cannot_be_meant_is_refused(playbook, cluster, arguments, sentence):
    before = cluster.postmasters()
    names = {"leader": cluster.leader(), "standby": cluster.standby()}
    run = playbook("reinit", *[part for it in arguments for part in ("-e", it.format(**names))])
    assert run.status != 0 and sentence in run.said, run.output
    assert cluster.postmasters() == before


def test_a_broken_standby_is_copied_from_the_leader(playbook, cluster):
    standby = cluster.standby()
    cluster.sh(standby, f"systemctl stop patroni && rm -r {DATA}/base && systemctl start patroni")
    run = playbook("reinit", "-e", f"patroni_standby={standby}")
    assert run.status == 0 and "streams again after" in run.said, run.output
    cluster.whole()
    assert "reinit.yml" not in cluster.sh(standby, "ls /etc/elephant/patroni")


# In place of pgBackRest, which this scenario does not have: what Patroni calls, with the arguments that it is called with.
RESTORES = """#!/bin/bash
[ "$*" = "--stanza=stand-in --delta --type=standby restore" ] || exit 9
rm -rf {data}; c=/etc/elephant/certificates
exec pg_basebackup -D {data} -c fast -X stream -d "host={leader} user=replicator sslmode=verify-full sslrootcert=$c/ca.crt \
sslcert=$c/replicator.crt sslkey=$c/replicator.key"
"""
HANGS = "#!/bin/bash\nexec sleep 600\n"


def test_a_standby_is_copied_from_the_repository_and_one_that_hangs_is_given_up(playbook, cluster):
    standby, lead = cluster.standby(), cluster.leader()
    address = {"db-1": "10.89.22.21", "db-2": "10.89.22.22"}[lead]
    asked = ["-e", f"patroni_standby={standby}", "-e", "patroni_method=repository", "-e", "patroni_pgbackrest_stanza=stand-in"]
    program = f"cat > /usr/local/bin/pgbackrest && chmod 755 /usr/local/bin/pgbackrest && touch {DATA}/mark"
    subprocess.run(
        ["docker", "exec", "-i", f"elephant-patroni-operate-{standby}", "sh", "-c", program],
        input=RESTORES.format(data=DATA, leader=address), text=True, check=True,
    )  # fmt: skip
    run = playbook("reinit", *asked)
    assert run.status == 0, run.output
    cluster.whole()
    assert cluster.sh(standby, f"ls {DATA}/mark", ok=False) == "", "the data are not a fresh copy"
    cluster.sh(standby, f"printf '{HANGS}' > /usr/local/bin/pgbackrest")
    run = playbook("reinit", *asked, "-e", "patroni_stall_seconds=10")
    assert run.status != 0 and "nothing moved for 10 s" in run.said and "The other method is basebackup" in run.said, run.output
    run = playbook("reinit", "-e", f"patroni_standby={standby}")
    assert run.status == 0, run.output
    cluster.sh(standby, "rm /usr/local/bin/pgbackrest")
    cluster.whole()


def test_a_standby_that_lacks_rows_is_promoted_only_by_who_accepts_that(playbook, cluster):
    lead, standby = cluster.leader(), cluster.standby()
    run = playbook("failover", "-e", f"patroni_candidate={standby}", "-e", f"patroni_accept_loss={standby}")
    assert run.status != 0 and f"{lead} leads. While somebody leads, hand over without loss" in run.said, run.output
    run = playbook("failover", "-e", "patroni_candidate=db-9")
    assert run.status != 0 and "name the standby to be promoted, one of db-1, db-2" in run.said, run.output
    # The standby away, the leader writes on alone, then the leader is lost and the standby returns: nobody may promote it but a person.
    cluster.sql(lead, "CREATE TABLE kept AS SELECT 1 AS row")
    cluster.sh(standby, "systemctl stop patroni")
    cluster.until(lambda: cluster.etcdctl("get /service/elephant/sync")["kvs"][0]["value"] and cluster.members(lead).keys() == {lead})
    status = "get /service/elephant/status"
    heard = cluster.etcdctl(status)["kvs"][0]["value"]
    cluster.sql(lead, "CREATE TABLE lost AS SELECT 1 AS row")
    cluster.until(lambda: cluster.etcdctl(status)["kvs"][0]["value"] != heard)
    cluster.sh(lead, "systemctl stop patroni")
    cluster.sh(standby, "systemctl start patroni")
    cluster.until(lambda: cluster.members(standby).get(standby, {}).get("State") in ("running", "streaming", "in archive recovery"))
    asked = ["failover", "-e", f"patroni_candidate={standby}"]
    run = playbook(*asked)
    assert run.status != 0, run.output
    for sentence in (
        f"The newest commit of {standby} ",
        f"{standby} was not synchronous",
        f"{standby} lacks",
        "There are no backups, so it cannot be known",
        f"-e patroni_accept_loss={standby}",
    ):
        assert sentence in run.said, run.output
    assert cluster.sql(standby, "SELECT pg_is_in_recovery()") == "t"
    run = playbook(*asked, "-e", f"patroni_accept_loss={standby}")
    assert run.status == 0 and f"{standby} leads." in run.said, run.output
    assert cluster.sql(standby, "SELECT pg_is_in_recovery(), to_regclass('kept'), to_regclass('lost')") == "f|kept|"
    cluster.sh(lead, "systemctl start patroni")
    cluster.whole()
    assert cluster.sql(lead, "SELECT to_regclass('lost')") == ""
    cluster.sql(standby, "DROP TABLE kept")
