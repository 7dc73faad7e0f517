"""The leader dies with WAL that it has not archived; the promoted standby has streamed it, and counts it as archived."""

import pytest
from test_pgbackrest import TOOL, info, leads, machine, run, sql


def segments(host, first, last):
    """Which of the segments of timeline 1 the repository has."""
    listing = run(host, f"pgbackrest --stanza=scenario repo-ls archive/scenario/{info(host)['archive'][-1]['id']}/0000000100000000").stdout
    there = {int(line[16:24], 16) for line in listing.splitlines() if len(line) > 24}
    return there & set(range(first, last))


def test_no_hole_is_left_after_a_failover(host):
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
    host.check_output("systemctl kill --signal=KILL postgresql@17-main")
    standby.check_output("systemctl stop elephant-backup-rescue.timer")
    standby.check_output("pg_ctlcluster 17 main promote")
    for _ in range(100):
        if leads(standby):
            break
    lost = set(range(first, first + 3))
    assert segments(standby, first, first + 3) != lost, "the hole has to be there before it can be closed"
    done = run(standby, f"{TOOL} rescue")
    assert done.rc == 0, done.stderr
    assert "which the former leader had not" in done.stdout
    assert segments(standby, first, first + 3) == lost, done.stdout
    assert run(standby, f"{TOOL} rescue").stdout == "", "a second look finds nothing"
    standby.check_output("systemctl start elephant-backup-rescue.timer")
