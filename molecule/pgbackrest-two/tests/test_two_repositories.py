"""One of two repositories is away: the other has all, and when it is back so has it."""

import json
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "pgbackrest/tests"))
from test_pgbackrest import TOOL, leads, machine, run, sql

FOLDER = "/srv/backups/pgbackrest"


@pytest.fixture
def leader(host):
    if not leads(host):
        pytest.skip("a standby")
    return host


def test_while_one_repository_is_away_the_other_has_all_and_a_restore_takes_it(leader):
    def has(repository, name):
        return name in run(leader, f"pgbackrest --stanza=scenario --repo={repository} repo-ls --recurse archive").stdout

    storage = machine("storage-1")
    storage.check_output("systemctl stop versitygw")
    try:
        name = sql(leader, "SELECT pg_walfile_name(pg_logical_emit_message(true, 'test', 'written without the storage'))")
        sql(leader, "SELECT pg_switch_wal()")
        deadline = time.monotonic() + 300
        while name not in leader.check_output(f"ls {FOLDER}/archive/scenario/*/*"):
            assert time.monotonic() < deadline, leader.check_output("cat /var/log/pgbackrest/*archive-push-async.log | tail -20")
            time.sleep(1)
        assert sql(leader, f"SELECT last_archived_wal >= '{name}' FROM pg_stat_archiver") == "f", "it has to arrive in both"
        # As when all data is lost; the one that is away says nothing, the other is taken.
        done = run(leader, f"""echo '{{"latest": true}}' | {TOOL} restore-plan""")
        assert done.rc == 0 and json.loads(done.stdout)["repository"] == 2, done.stdout + done.stderr
    finally:
        storage.check_output("systemctl start versitygw")
    deadline = time.monotonic() + 300
    while sql(leader, f"SELECT last_archived_wal >= '{name}' FROM pg_stat_archiver") != "t":
        assert time.monotonic() < deadline, "the storage did not catch up"
        time.sleep(1)
    assert all(has(it, name) for it in (1, 2))
