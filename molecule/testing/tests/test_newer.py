"""What the newer versions bring, each asked of its own tool: systemctl, psql, etcdctl, pgbackrest, pg_waldump."""

import json
import re
import shlex
from pathlib import Path

import pytest
from cluster import TOOL, backups, leader, machine, members, postgres, sql

README = Path(__file__).parents[3] / "README.md"
NAMES = ("postgresql-1", "postgresql-2")
STANZA = "molecule"
# Package, the column of the README's table, where it is installed.
PACKAGES = [("postgresql-18", 2, "postgresql"), ("patroni", 3, "postgresql"), ("etcd-server", 4, "etcd"), ("pgbackrest", 5, "postgresql")]


def number(version: str) -> tuple[int, ...]:
    """For comparing; what follows the numbers is dropped."""
    return tuple(int(it) for it in re.match(r"[\d.]+", version)[0].strip(".").split("."))


@pytest.fixture(scope="module")
def database():
    """The leader and the standby."""
    lead = leader(NAMES)
    (standby,) = [name for name, role in members(lead).items() if role == "Sync Standby"]
    return {"leader": lead, "standby": machine(standby)}


@pytest.mark.parametrize(("package", "column", "group"), PACKAGES)
def test_they_are_as_new_as_the_readme_says(host, package, column, group):
    if group not in host.backend.get_hostname():
        return
    row = next(line for line in README.read_text().splitlines() if line.startswith("| testing | `distribution` |"))
    said = row.strip("| ").split(" | ")[column]
    there = host.package(package).version
    assert number(there)[: len(number(said))] >= number(said), f"{package} is {there}, the README says {said}"


def test_systemd_knows_when_patroni_is_ready(database):
    for host in database.values():
        for word in ("is-active", "reload"):
            # With this type active is only who said so himself; after a reload too, or systemctl would wait and fail.
            host.check_output(f"systemctl {word} patroni")
            shown = host.check_output("systemctl show patroni --property=Type,ActiveState,NRestarts")
            assert set(shown.splitlines()) == {"Type=notify", "ActiveState=active", "NRestarts=0"}


def test_etcd_is_one_of_those_that_older_patroni_cannot_work_with(host):
    if not host.backend.get_hostname().startswith("etcd"):
        return
    assert number(host.package("etcd-server").version)[:3] >= (3, 5, 28)
    said = host.check_output("set -a; . /etc/elephant/etcdctl.env; etcdctl --write-out=json auth status")
    assert json.loads(said)["enabled"] is True


def test_pages_have_checksums_and_no_setting_is_refused(database):
    for host in database.values():
        assert sql(host, "SHOW data_checksums") == "on"
        # What needs a restart is said there too, and is no error.
        assert sql(host, "SELECT name FROM pg_file_settings WHERE error <> 'setting could not be applied'") == ""
        assert sql(host, "SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL") == ""
        assert int(sql(host, "SHOW server_version_num")) >= 180000


def test_wal_comes_back_from_the_archive_whole(database):
    switch = "SELECT pg_walfile_name(pg_logical_emit_message(true, 'test', 'of the archive')); SELECT pg_switch_wal()"
    name = sql(database["leader"], switch).splitlines()[0]
    done = postgres(database["leader"], f"pgbackrest --stanza={STANZA} check")
    assert done.rc == 0, done.stdout + done.stderr
    script = f"set -e; cd $(mktemp -d); pgbackrest --stanza={STANZA} archive-get {name} $PWD/{name}"
    done = postgres(database["standby"], f"{script}; /usr/lib/postgresql/18/bin/pg_waldump {name}")
    assert re.search(r"rmgr: LogicalMessage .* prefix \"test\"", done.stdout), done.stdout[-2000:] + done.stderr


def test_the_standby_backs_up_and_pgbackrest_verifies_it(database):
    standby = database["standby"]
    settings = json.loads(standby.file("/etc/pgbackrest/elephant.json").content_string) | {"differential_hours": 0, "grace_hours": 0}
    standby.check_output(f"printf %s {shlex.quote(json.dumps(settings))} > /tmp/due.json")
    before = len(backups(standby, STANZA))
    done = postgres(standby, f"{TOOL} --settings /tmp/due.json schedule")
    assert done.rc == 0 and "took a backup of type diff" in done.stdout, done.stdout + done.stderr
    made = backups(standby, STANZA)
    assert len(made) == before + 1 and made[-1]["type"] == "diff" and not made[-1]["error"]
    # Its files came from the standby, and only what begins and ends it from the leader.
    assert "replay on the standby reached" in standby.check_output(f"tail -n 40 /var/log/pgbackrest/{STANZA}-backup.log")
    done = postgres(standby, f"pgbackrest --stanza={STANZA} --output=text --verbose verify")
    assert done.rc == 0 and "status: ok" in done.stdout, done.stdout + done.stderr


def test_a_restore_is_rehearsed_with_every_table_and_index(database):
    sql(database["leader"], "SELECT pg_switch_wal()")
    done = database["standby"].run("systemctl start elephant-backup-rehearsal.service")
    said = database["standby"].check_output("journalctl --unit elephant-backup-rehearsal.service --no-pager --lines 20")
    assert done.rc == 0 and "every table and index is whole" in said, said
