"""The leader dies with WAL that it has not archived; the promoted standby has streamed it, and counts it as archived."""

import pytest
from test_pgbackrest import REPOSITORIES, TOOL, info, leads, machine, run, sql

WAL = "/var/lib/postgresql/17/main/pg_wal"


def full_backups(host):
    return [it["label"] for it in info(host)["backup"] if it["type"] == "full"]


def segments(host, first, last):
    """Which of the segments of timeline 1 every repository has."""
    found = set(range(first, last))
    for repository in REPOSITORIES:
        folder = f"archive/scenario/{info(host)['archive'][-1]['id']}/0000000100000000"
        listing = run(host, f"pgbackrest --stanza=scenario --repo={repository} repo-ls {folder}").stdout
        found &= {int(line[16:24], 16) for line in listing.splitlines() if len(line) > 24}
    return found


def test_no_hole_is_left_after_a_failover(host):
    """Of the segments that the dead leader took along, one is gone from the new one too at first: a new full backup is all that helps."""
    if host.ansible.get_variables()["inventory_hostname"] != "db-1":
        pytest.skip("once is enough")
    standby = machine("db-2")
    if not leads(host) or leads(standby):
        pytest.skip("db-1 does not lead any more")
    host.check_output("printf \"archive_command = 'false'\\n\" > /etc/postgresql/17/main/conf.d/zz.conf")
    sql(host, "SELECT pg_reload_conf()")
    first = int(sql(host, "SELECT pg_walfile_name(pg_current_wal_lsn())")[16:], 16)
    for _ in range(3):
        sql(host, "SELECT pg_logical_emit_message(true, 'lost', 'but streamed')")
        sql(host, "SELECT pg_switch_wal()")
    point = sql(host, "SELECT pg_current_wal_lsn()")
    for _ in range(100):
        if sql(standby, f"SELECT pg_last_wal_replay_lsn() >= '{point}'") == "t":
            break
    # So that the hole can be seen before it is closed.
    standby.check_output("systemctl stop elephant-backup-rescue.timer elephant-backup-rescue.service")
    host.check_output("systemctl kill --signal=KILL postgresql@17-main")
    standby.check_output("pg_ctlcluster 17 main promote")
    for _ in range(100):
        if leads(standby):
            break
    lost = set(range(first, first + 3))
    assert not segments(standby, first, first + 3), "the hole has to be there before it can be closed"
    gap, fulls = f"00000001{first // 256:08X}{first % 256:08X}", len(full_backups(standby))
    standby.check_output(f"mv {WAL}/{gap} /var/tmp/")
    done = run(standby, f"{TOOL} rescue")
    assert done.rc == 0, done.stderr
    assert segments(standby, first, first + 3) == lost - {first}, done.stdout
    for repository in REPOSITORIES:
        assert f"repository {repository} lacks {gap}: nothing after its newest backup can be recovered across this promotion" in done.stdout
        assert f"repository {repository}: took a full backup, from which recovery works again" in done.stdout
    assert len(full_backups(standby)) == fulls + len(REPOSITORIES)
    assert run(standby, f"{TOOL} rescue").stdout == "", "this promotion has been looked at"
    # The segment is found after all, and nobody has looked yet.
    standby.check_output(f"mv /var/tmp/{gap} {WAL}/ && rm /var/lib/pgbackrest/elephant-timeline")
    done = run(standby, f"{TOOL} rescue")
    assert done.rc == 0, done.stderr
    assert done.stdout.split() == f"archived {gap}, which the former leader had not".split(), done.stdout
    assert segments(standby, first, first + 3) == lost
    assert len(full_backups(standby)) == fulls + len(REPOSITORIES), "there is no gap any more"
    assert run(standby, f"{TOOL} rescue").stdout == "", "a second look finds nothing"
    standby.check_output("systemctl start elephant-backup-rescue.timer")
