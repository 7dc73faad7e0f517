"""One of two repositories is away: the other has all, and when it is back so has it."""

import json
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "pgbackrest/tests"))
sys.path.insert(0, str(Path(__file__).parents[3] / "roles/pgbackrest/files/backup"))
from restore import asking
from test_pgbackrest import TOOL, info, leads, machine, run, sql, with_settings

FOLDER = "/srv/backups/pgbackrest"


@pytest.fixture
def leader(host):
    if not leads(host):
        pytest.skip("a standby")
    return host


@pytest.fixture
def without_storage():
    """The object storage is stopped; `back()` starts it, as the end of the test does."""
    storage = machine("storage-1")
    storage.check_output("systemctl stop versitygw")

    def back():
        storage.check_output("systemctl start versitygw")

    yield back
    back()


def wait(true, said):
    deadline = time.monotonic() + 600
    while not true():
        assert time.monotonic() < deadline, said()
        time.sleep(1)


def test_while_one_repository_is_away_the_other_has_all_and_is_restored_from(leader, without_storage):
    def has(repository, name):
        return name in run(leader, f"pgbackrest --stanza=scenario --repo={repository} repo-ls --recurse archive").stdout

    def pushes():
        return leader.check_output("tail -20 /var/log/pgbackrest/scenario-archive-push-async.log")

    name = sql(leader, "SELECT pg_walfile_name(pg_logical_emit_message(true, 'test', 'written without the storage'))")
    sql(leader, "SELECT pg_switch_wal()")
    wait(lambda: name in leader.check_output(f"ls {FOLDER}/archive/scenario/*/*"), pushes)
    assert sql(leader, f"SELECT last_archived_wal >= '{name}' FROM pg_stat_archiver") == "f", "it has to arrive in both"
    # As when all data is lost; the one that is away says nothing, the other is taken.
    done = run(leader, f"""echo '{{"latest": true}}' | {TOOL} restore-plan""")
    assert done.rc == 0, done.stdout + done.stderr
    made = json.loads(done.stdout)
    assert made["repository"] == 2 and made["alone"]
    (said,) = made["warns"]
    assert said.startswith("Repository 1 is not asked") and "the storage cannot be reached" in said
    # One that was begun while both answered does not take the end of the other for the end of all.
    # With less patience: 18 times a minute is what it has by default.
    get = asking({"stanza": "scenario", "config": ""}).replace("archive-get", "--io-timeout=2 archive-get")
    get = get.replace("%f", "000000010000000F00000000").replace("%p", "/tmp/none")
    done = run(leader, get)
    assert done.rc == 255 and "WARN: repo1" in done.stderr, done.stdout + done.stderr
    seen = json.loads(run(leader, f"{TOOL} status").stdout)["repositories"]
    assert "the storage cannot be reached" in seen[0]["message"] and seen[0]["newest"] == {} and "full" in seen[1]["newest"]
    # A backup is due in both: one is taken, one is said.
    done = run(leader, with_settings(leader, differential_hours=0, grace_hours=0, stagger_seconds=0.1) + " schedule")
    assert done.rc == 1 and "repository 2: took a backup of type diff" in done.stdout, done.stdout + done.stderr
    assert "repository 1 cannot be read: the storage cannot be reached" in done.stderr and "repository 2" not in done.stderr
    without_storage()
    wait(lambda: sql(leader, f"SELECT last_archived_wal >= '{name}' FROM pg_stat_archiver") == "t", pushes)
    assert all(has(it, name) for it in (1, 2))
    assert [it["database"]["repo-key"] for it in info(leader)["backup"] if it["type"] == "diff"] == [2]
