"""The storage is away, breaks a file, or shows an old certificate; a standby is copied from it. Judged by what comes back from it."""

import contextlib
import datetime
import os
import shlex
from pathlib import Path

import runbook
from cluster import INVENTORY, TOOL, backups, keep, leader, machine, members, postgres, rows, sql, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

HOSTS = ("db-1", "db-2")
OBJECTS = "/srv/objects/backups/pgbackrest"
# As a lost disk: Patroni and PostgreSQL die, and nothing of the data is left.
DESTROY = """
systemctl kill --signal=KILL patroni; systemctl stop patroni; pkill -KILL -u postgres -x postgres
rm -rf /var/lib/postgresql/17/main
"""


@contextlib.contextmanager
def no_storage():
    """The storage is away meanwhile."""
    machine("storage-1").check_output("systemctl stop versitygw")
    try:
        yield
    finally:
        machine("storage-1").check_output("systemctl start versitygw")


@contextlib.contextmanager
def read_only_storage():
    """The storage gives what it has, and takes no more."""

    def change(old, new):
        edit = f"sed -i 's/{old}/{new}/' /etc/systemd/system/versitygw.service"
        machine("storage-1").check_output(f"{edit} && systemctl daemon-reload && systemctl restart versitygw")

    change("versitygw --port", "versitygw --readonly --port")
    try:
        yield
    finally:
        change("versitygw --readonly", "versitygw")


def name(host):
    """As in the inventory."""
    return host.ansible.get_variables()["inventory_hostname"]


def segment(host):
    """Something is written, and the segment that has it ends. Answers its name."""
    found = sql(host, "SELECT pg_walfile_name(pg_logical_emit_message(true, 'test', 'some WAL'))")
    sql(host, "SELECT pg_switch_wal()")
    return found


def archived(names):
    """Those of the segments that the storage has, looked up in its files."""
    listing = machine("storage-1").check_output(f"ls {OBJECTS}/archive/molecule/*/* | cut -c 1-24")
    return set(names) & set(listing.split())


def is_whole():
    """One leader, its synchronous standby."""
    return sorted(members(machine("db-1")).values()) == ["Leader", "Sync Standby"]


def said(host, unit, since):
    """What a unit wrote into the journal since a moment of the host's clock."""
    return host.check_output(f"journalctl --unit {unit} --since @{since} --output cat --no-pager")


def clock(host):
    """Seconds, as the host counts them."""
    return host.check_output("date +%s")


def log_replication(host, value):
    """Whether every command that a walsender gets is logged; `null` as before."""
    host.check_output(f"patronictl edit-config --force --pg log_replication_commands={value}")
    shown = "off" if value == "null" else value
    until("the setting is in force", lambda: sql(host, "SHOW log_replication_commands") == shown)


def an_expired_storage():
    """On port 445, the same storage with a certificate of the same CA that ended long ago."""
    storage, authority = machine("storage-1"), Path(os.environ["ELEPHANT_HOME"]) / "storage-ca"
    now = x509.load_pem_x509_certificate(storage.file("/etc/elephant/certificates/storage.crt").content)
    old = x509.CertificateBuilder(now.issuer, now.subject, now.public_key(), x509.random_serial_number(), extensions=list(now.extensions))
    began = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    old = old.not_valid_before(began).not_valid_after(began + datetime.timedelta(days=30))
    signed = old.sign(serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None), hashes.SHA256())
    text = shlex.quote(signed.public_bytes(serialization.Encoding.PEM).decode())
    storage.check_output(f"printf %s {text} > /tmp/expired.crt")
    storage.check_output(
        "systemctl is-active --quiet expired || systemd-run --quiet --unit expired --setenv ROOT_ACCESS_KEY=scenario-key"
        " --setenv ROOT_SECRET_KEY=scenario-secret /usr/local/bin/versitygw --port :445"
        " --cert /tmp/expired.crt --key /etc/elephant/certificates/storage.key posix /srv/objects"
    )
    until("it listens", lambda: ":445 " in storage.check_output("ss -Hltn"))


def test_a_certificate_that_has_expired_is_told():
    an_expired_storage()
    host = machine("db-1")
    host.check_output(
        "cat /etc/pgbackrest/pgbackrest.conf /etc/pgbackrest/conf.d/secrets.conf"
        " | sed -e 's/^compress-level=.*/&\\nio-timeout=5/' -e s/storage-port=.*/storage-port=445/ > /tmp/expired.conf"
    )
    host.check_output("chown postgres /tmp/expired.conf")
    done = postgres(host, f"""echo '{{"latest": true, "config": "/tmp/expired.conf"}}' | {TOOL} restore-plan""")
    machine("storage-1").check_output("systemctl stop expired")
    assert done.rc == 1 and "the storage's certificate has expired" in done.stderr, done.stderr


def test_after_a_minute_without_storage_the_archive_catches_up():
    host = leader()
    assert postgres(host, "pgbackrest --stanza=molecule check").rc == 0
    with no_storage():
        written = [segment(host)]
        until("archiving fails", lambda: sql(host, "SELECT last_failed_wal FROM pg_stat_archiver") >= written[0])
        for _ in range(6):  # a minute
            sql(host, "SELECT pg_sleep(10)")
            written.append(segment(host))
        assert not archived(written)
        asked = runbook.follow("How the backups are", INVENTORY)
        assert asked.status != 0 and "the storage cannot be reached" in asked.text, asked.output
    until("all is archived", lambda: archived(written) == set(written))
    until("PostgreSQL knows", lambda: sql(host, "SELECT last_archived_wal FROM pg_stat_archiver") >= written[-1])
    asked = runbook.follow("How the backups are", INVENTORY)
    assert asked.status == 0 and "FAILING NOW" not in asked.text, asked.output
    assert is_whole()


def test_the_idle_leader_of_a_cluster_without_storage_is_succeeded():
    """Nothing was received for so long that the standby asks the archive first; pgBackRest alone waits for minutes at each question."""
    host = leader()
    other = machine(next(it for it in HOSTS if it != name(host)))
    recent = "find /var/lib/postgresql/17/main/pg_wal -maxdepth 1 -type f -name '0*' -newermt '-100 seconds'"
    with no_storage():
        until("the cluster is idle", lambda: not other.check_output(recent), 300)
        host.check_output("pkill -KILL --oldest -u postgres -x postgres")
        until("the standby leads", lambda: sql(other, "SELECT pg_is_in_recovery()") == "f", 180)
    until("the old leader follows", is_whole, 300)


def test_a_leader_lost_while_there_was_no_storage_leaves_no_hole():
    old = backups(leader(), "molecule")[-1]["label"]
    host = leader()
    other = machine(next(it for it in HOSTS if it != name(host)))
    # So that the hole can be seen before it is closed.
    other.check_output("systemctl stop elephant-backup-rescue.timer elephant-backup-rescue.service")
    keep(host, "before the outage")
    assert postgres(host, "pgbackrest --stanza=molecule check").rc == 0
    with no_storage():
        written = {segment(host) for _ in range(21)}
        assert len(written) == 21
        keep(host, "during the outage")
        reached = sql(host, "SELECT pg_current_wal_lsn()")
        until("the standby has it", lambda: sql(other, f"SELECT pg_last_wal_replay_lsn() >= '{reached}'") == "t")
        host.run(DESTROY)
        until("the standby leads", lambda: sql(other, "SELECT pg_is_in_recovery()") == "f", 900)
        keep(other, "after the failover")
    until("the new leader's WAL arrives", lambda: postgres(other, "pgbackrest --stanza=molecule check").rc == 0, 600)
    assert not archived(written), "the hole has to be there before it can be closed"
    began = clock(other)
    other.check_output("systemctl start elephant-backup-rescue.timer")
    until("the hole is closed", lambda: archived(written) == written, 600)
    until("the rescue has ended", lambda: other.run("systemctl is-active elephant-backup-rescue.service").stdout.strip() == "inactive")
    journal = said(other, "elephant-backup-rescue.service", began)
    assert all(f"archived {it}, which the former leader had not" in journal for it in written), journal
    assert "took a full backup" not in journal
    host.check_output("systemctl start patroni")
    until("the lost member is copied", is_whole, 600)
    sql(other, "SELECT pg_create_restore_point('after_the_failover')")
    keep(other, "after the point")
    before = rows(other)
    done = runbook.follow(
        "Back to a restore point", INVENTORY, restore_point="after_the_failover", restore_label=old, restore_confirm="molecule"
    )
    assert done.status == 0, done.output
    assert {"before the outage", "during the outage", "after the failover"} <= rows(leader())
    assert rows(leader()) == before - {"after the point"}
    assert is_whole()


def test_a_standby_is_copied_from_the_repository_while_the_leader_is_written_to(playbook):
    host = leader()
    standby = next(it for it in HOSTS if it != name(host))
    sql(host, "CREATE TABLE IF NOT EXISTS written (id bigserial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())")
    # Every command that a walsender gets is logged, so that a base backup, however short, leaves a trace.
    log_replication(host, "on")
    log = host.check_output("ls -t /var/log/postgresql/elephant/*.log | head -1")
    lines, began = int(host.check_output(f"wc -l < {log}")), clock(machine(standby))
    host.check_output(
        "systemd-run --quiet --unit written runuser -u postgres -- sh -c"
        " 'while :; do psql -Xqc \"INSERT INTO written DEFAULT VALUES\" postgres; done'"
    )
    try:
        first = int(sql(host, "SELECT count(*) FROM written"))
        run = playbook("patroni/reinit.yml", "-e", f"patroni_standby={standby}", "-e", "patroni_method=repository")
        last = int(sql(host, "SELECT count(*) FROM written"))
    finally:
        host.check_output("systemctl stop written")
        log_replication(host, "null")
    assert run.status == 0, run.output
    assert last > first, "nobody wrote"
    assert "replica has been created using repository" in said(machine(standby), "patroni", began)
    commands = host.check_output(f"tail -n +{lines + 1} {log}")
    assert "START_REPLICATION" in commands, "the log does not tell what walsenders are asked"
    assert "BASE_BACKUP" not in commands
    until("the standby is synchronous", is_whole)
    signals = machine(standby).check_output("cd /var/lib/postgresql/17/main && ls *.signal")
    assert signals == "standby.signal", "a recovery.signal would stay for ever: PostgreSQL and Patroni leave it where a standby.signal is"
    count = sql(host, "SELECT count(*) FROM written")
    until("the standby has every row", lambda: sql(machine(standby), "SELECT count(*) FROM written") == count)


def test_a_cluster_comes_back_while_the_storage_takes_no_more(playbook):
    host = leader()
    keep(host, "in the archive")
    assert postgres(host, "pgbackrest --stanza=molecule check").rc == 0
    restore = ("backup/restore.yml", "-e", "restore_latest=true", "-e", "restore_confirm=molecule")
    with read_only_storage():
        keep(host, "not in the archive")
        refused = playbook(*restore)
        assert refused.status != 0 and "last WAL is not in the archive" in " ".join(refused.output.split())
        assert is_whole() and "not in the archive" in rows(host), "nothing has been touched"
        done = playbook(*restore, "-e", "restore_unarchived_may_go=true")
        assert "not in the archive" not in rows(leader()), done.output
        assert done.status != 0, "it ends with a backup, for which there is no place yet"
    done = playbook(*restore)
    assert done.status == 0, done.output
    assert is_whole()
    assert rows(leader()) >= {"in the archive"}
    assert "not in the archive" not in rows(leader())


def test_a_broken_file_of_a_backup_is_found():
    taken = runbook.follow("A backup now", INVENTORY, backup_type="full")
    assert taken.status == 0, taken.output
    label, storage = backups(leader(), "molecule")[-1]["label"], machine("storage-1")
    file = storage.check_output(f"ls -S {OBJECTS}/backup/molecule/{label}/bundle/* | head -1")
    storage.check_output(f"cp {file} /tmp/whole && printf broken | dd of={file} bs=1 seek=100000 conv=notrunc status=none")
    done = runbook.follow("A rehearsal now", INVENTORY)
    storage.check_output(f"cp /tmp/whole {file}")
    assert done.status != 0 and f"{label} cannot be restored" in done.text, done.output
    done = runbook.follow("A rehearsal now", INVENTORY)
    assert done.status == 0 and "every table and index is whole" in done.text, done.output
