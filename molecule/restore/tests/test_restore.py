"""A cluster goes back, by the commands of docs/backup.md; judged by rows, patronictl and pgBackRest."""

import json
import re
import shlex

import pytest
import runbook
from cluster import INVENTORY, TOOL, backups, keep, leader, machine, members, postgres, rows, sql, until

MEANT = {"restore_confirm": "molecule"}


def plan(host, **request):
    """What the plan says on a member, or why there is none."""
    done = postgres(host, f"printf %s {shlex.quote(json.dumps(request))} | {TOOL} restore-plan")
    return " ".join((done.stdout + done.stderr).split())


def is_whole():
    """One leader, its synchronous standby, nothing left of the restore."""
    assert sorted(members(machine("db-1")).values()) == ["Leader", "Sync Standby"]
    for name in ("db-1", "db-2"):
        assert not machine(name).file("/var/lib/pgbackrest/elephant-restore.json").exists
        assert machine(name).service("patroni").is_enabled
    assert "archive_command: pgbackrest --stanza=molecule archive-push %p" in leader().check_output("patronictl show-config")
    assert postgres(leader(), "pgbackrest --stanza=molecule check").rc == 0


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"time": "2020-01-01T00:00:00+00:00"}, "no backup is that old"),
        ({"time": "2999-01-01T00:00:00+00:00"}, "in the future"),
        ({"time": "2026-01-01T00:00:00"}, "without an offset from UTC"),
        ({"label": "20200101-000000F"}, "there is no backup 20200101-000000F; there are: "),
        ({"latest": True, "timeline": 77}, "restore_timeline is 77, and the archive has the timelines"),
        ({"latest": True, "stanza": "nobody"}, "no repository has a backup of the stanza nobody"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(request_, said):
    assert said in plan(machine("db-1"), **request_)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("s/cipher-pass=.*/cipher-pass=another-passphrase/", "the passphrase does not open it"),
        ("s/s3-key-secret=.*/s3-key-secret=wrong/", "the storage refuses its keys"),
        ("s/storage-port=.*/storage-port=444/", "the storage cannot be reached"),
        ("s#storage-ca-file=.*#storage-ca-file=/etc/elephant/certificates/ca.crt#", "the storage's certificate is not accepted"),
    ],
)
def test_what_is_wrong_with_the_storage_is_told(change, said):
    host = machine("db-1")
    host.check_output(
        "cat /etc/pgbackrest/pgbackrest.conf /etc/pgbackrest/conf.d/secrets.conf | sed -e 's/^compress-level=.*/&\\nio-timeout=5/' "
        f"-e {shlex.quote(change)} > /tmp/wrong.conf && chown postgres /tmp/wrong.conf"
    )
    assert said in plan(host, latest=True, config="/tmp/wrong.conf")


def test_too_little_room_is_told():
    host = machine("db-1")
    settings = json.loads(host.file("/etc/pgbackrest/elephant.json").content_string) | {"minimum_free_mb": 10**9}
    host.check_output(f"printf %s {shlex.quote(json.dumps(settings))} > /tmp/tight.json")
    request = shlex.quote(json.dumps({"latest": True}))
    done = postgres(host, f"printf %s {request} | {TOOL} --settings /tmp/tight.json restore-plan")
    assert done.rc == 1 and "the restore needs" in done.stderr


def test_the_backups_are_shown():
    said = runbook.follow("How the backups are", INVENTORY)
    assert said.status == 0 and "full" in said.text, said.output


def test_nothing_is_touched_before_it_is_meant():
    began = sql(leader(), "SELECT pg_postmaster_start_time()")
    said = runbook.follow("Back to the latest point", INVENTORY, restore_latest="true", restore_confirm="another")
    assert said.status != 0
    assert "Lost: what is not in the archive" in said.text and "-e restore_confirm=molecule" in said.text
    assert set(re.findall(r"changed=(\d+)", said.output)) == {"0"}
    assert sql(leader(), "SELECT pg_postmaster_start_time()") == began


def test_back_to_a_moment_between_two_rows():
    host = leader()
    keep(host, "before")
    moment = sql(host, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    keep(host, "after")
    taken = len(backups(host, "molecule"))
    said = runbook.follow("Back to a moment", INVENTORY, restore_time=moment, **MEANT)
    assert said.status == 0, said.output
    assert "Lost: all that was written after" in said.text
    assert rows(leader()) == {"before"}
    is_whole()
    assert len(backups(leader(), "molecule")) == taken + 1
    assert len(host.check_output("ls -d /var/lib/postgresql/17/main-before-*").split()) == 1, "the old data of the leader is kept"


def test_back_to_a_restore_point_on_another_timeline_than_the_backups():
    label = backups(leader(), "molecule")[-1]["label"]
    keep(leader(), "on the first")
    began = sql(leader(), "SELECT timeline_id FROM pg_control_checkpoint()")
    leader().check_output("patronictl switchover molecule --force")
    until("the old leader follows", lambda: sorted(members(machine("db-1")).values()) == ["Leader", "Sync Standby"])
    host = leader()
    keep(host, "on the second")
    sql(host, "SELECT pg_create_restore_point('before_the_release')")
    keep(host, "after the release")
    assert sql(host, "SELECT pg_walfile_name(pg_current_wal_lsn())")[:8] > f"{int(began):08X}"
    said = runbook.follow("Back to a restore point", INVENTORY, restore_point="before_the_release", restore_label=label, **MEANT)
    assert said.status == 0, said.output
    assert rows(leader()) == {"before", "on the first", "on the second"}
    is_whole()


def test_a_backup_and_a_rehearsal_by_hand():
    said = runbook.follow("A backup now", INVENTORY, backup_type="diff")
    assert said.status == 0 and "is complete" in said.text, said.output
    said = runbook.follow("A rehearsal now", INVENTORY)
    assert said.status == 0 and "every table and index is whole" in said.text, said.output
