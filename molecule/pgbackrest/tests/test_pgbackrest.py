"""Judged by pgBackRest and PostgreSQL: what the repository holds, who may talk to whom, and a row that comes back."""

import json
import os
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import testinfra
import yaml
from cluster import until

INVENTORY = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory/hosts.yml"
# Their numbers, of as many as the scenario has.
DATABASES = yaml.safe_load(INVENTORY.read_text())["all"]["children"]["postgresql"]
REPOSITORIES = range(1, len(DATABASES["vars"]["pgbackrest_repositories"]) + 1)
TOOL = "python3 /usr/local/lib/elephant/backup"


def machine(name):
    return testinfra.get_host(f"ansible://{name}?ansible_inventory={INVENTORY}")


def run(host, command):
    return host.run(f"runuser -u postgres -- sh -c {shlex.quote(command)}")


def sql(host, statement, options=""):
    done = run(host, f"psql -XAtq -v ON_ERROR_STOP=1 {options} -c {shlex.quote(statement)} postgres")
    assert done.rc == 0, done.stderr
    return done.stdout.strip()


def leads(host):
    return sql(host, "SELECT pg_is_in_recovery()") == "f"


@pytest.fixture
def leader(host):
    if not leads(host):
        pytest.skip("a standby")
    return host


def info(host):
    return json.loads(run(host, "pgbackrest --stanza=scenario --output=json info").stdout)[0]


def with_settings(host, **changes):
    """The host's own settings with some of them changed, as a file."""
    settings = json.loads(host.file("/etc/pgbackrest/elephant.json").content_string) | changes
    text = shlex.quote(json.dumps(settings))
    host.check_output(f"printf %s {text} > /tmp/changed.json")
    return f"{TOOL} --settings /tmp/changed.json"


def test_the_server_and_the_timers_run_now_and_after_a_boot(host):
    for unit in ("pgbackrest-server.service", "elephant-backup.timer", "elephant-backup-rescue.timer", "elephant-backup-rehearsal.timer"):
        service = host.service(unit)
        assert service.is_running, host.check_output(f"journalctl --unit {unit} --no-pager --lines 20")
        assert service.is_enabled


def test_it_listens_on_the_cluster_address_alone(host):
    address = host.ansible.get_variables()["cluster_address"]
    listening = {row.split()[3] for row in host.check_output("ss -Hltn").splitlines()}
    assert {it for it in listening if it.endswith(":8432")} == {f"{address}:8432"}


def test_both_members_see_a_complete_encrypted_backup_in_each_repository(host):
    found = info(host)
    assert found["status"]["code"] == 0
    assert [(it["key"], it["status"]["code"], it["cipher"]) for it in found["repo"]] == [(it, 0, "aes-256-cbc") for it in REPOSITORIES]
    for repository in REPOSITORIES:
        first = next(it for it in found["backup"] if it["database"]["repo-key"] == repository)
        assert first["type"] == "full" and not first["error"]


def test_nobody_else_can_read_the_keys(host):
    for user, code in (("postgres", 0), ("nobody", 1)):
        assert host.run(f"runuser -u {user} -- cat /etc/pgbackrest/conf.d/secrets.conf").rc == code
    assert "scenario-secret" not in host.file("/etc/pgbackrest/pgbackrest.conf").content_string


def test_pgbackrest_finds_archiving_in_order(leader):
    done = run(leader, "pgbackrest --stanza=scenario check")
    assert done.rc == 0 and not done.stdout, done.stdout


def test_a_certificate_of_another_purpose_opens_nothing(leader):
    other = "--pg2-host-cert-file=/etc/elephant/certificates/replicator.crt --pg2-host-key-file=/etc/elephant/certificates/replicator.key"
    done = run(leader, f"pgbackrest --stanza=scenario {other} check")
    assert "access denied" in done.stdout + done.stderr


def test_an_hourly_firing_finds_nothing_due(host):
    assert host.run("systemctl start elephant-backup.service").rc == 0
    journal = "journalctl --unit elephant-backup.service --no-pager --lines 10"
    until("the journal says that nothing is due", lambda: "nothing is due" in host.check_output(journal), 60)


# With 5 s the first in the order is ahead; with 0.5 s both meet at pgBackRest's lock.
@pytest.mark.parametrize("stagger", [5, 0.5])
def test_two_that_fire_in_one_second_make_one_backup_for_each_repository(leader, stagger):
    members = {name: machine(name) for name in ("db-1", "db-2")}
    newest = max(it["timestamp"]["stop"] for it in info(leader)["backup"])
    age = time.time() - newest
    # Half of it has to be longer than the backups of both take on a slow machine, or one more is due at their end.
    least = 30 * len(REPOSITORIES)
    if age < least:
        time.sleep(least - age)
    hours = max(age, least) / 2 / 3600
    commands = {name: with_settings(it, differential_hours=hours, grace_hours=0, stagger_seconds=stagger) for name, it in members.items()}
    with ThreadPoolExecutor() as pool:
        done = dict(zip(members, pool.map(lambda name: run(members[name], f"{commands[name]} schedule"), members), strict=True))
    said = {name: it.stdout + it.stderr for name, it in done.items()}
    assert all(it.rc == 0 for it in done.values()), said
    for repository in REPOSITORIES:
        assert sum(f"repository {repository}: took a backup" in it for it in said.values()) == 1, said
    made = [it["database"]["repo-key"] for it in info(leader)["backup"] if it["timestamp"]["start"] > newest]
    assert sorted(made) == list(REPOSITORIES), said


def test_a_blank_cluster_is_not_begun_beside_an_archive(host):
    name = host.ansible.get_variables()["inventory_hostname"]
    done = run(host, with_settings(host, data_directory="/nonexistent", members={name: "127.0.0.1"}) + " guard")
    assert done.rc == 1
    assert "already holds the stanza scenario" in done.stderr and "restore_from" in done.stderr
    done = run(host, with_settings(host, data_directory="/nonexistent") + " guard")
    assert done.rc == 0, "a member that answers means that the cluster lives"


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_a_row_comes_back(leader, repository):
    sql(leader, "CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT now(), n int)")
    sql(leader, "INSERT INTO kept (n) VALUES (1)")
    rows = sql(leader, "SELECT count(*) FROM kept")
    # A name of its own for each run: recovery stops at the first one of that name.
    point = f"before_{time.time_ns()}"
    sql(leader, f"SELECT pg_create_restore_point('{point}')")
    sql(leader, "TRUNCATE kept")
    assert run(leader, "pgbackrest --stanza=scenario check").rc == 0
    place = "/var/tmp/restored"
    own = f"--repo={repository} --pg1-path={place} --lock-path={place}.lock --log-path={place}.log"
    script = f"""set -e
      rm -rf {place}*; mkdir -m 700 {place} {place}.lock {place}.log
      pgbackrest --stanza=scenario {own} --no-delta --archive-mode=off --type=name --target={point} --target-action=promote restore
      touch {place}/pg_hba.conf; echo 'local all all peer' > {place}/pg_hba.conf
      echo "listen_addresses='' port=5499 unix_socket_directories='{place}' archive_mode=off" | tr ' ' '\\n' > {place}/postgresql.conf
      /usr/lib/postgresql/17/bin/pg_ctl -w -t 60 -D {place} -l {place}.log/log start >/dev/null"""
    done = run(leader, script)
    assert done.rc == 0, done.stdout + done.stderr + run(leader, f"cat {place}.log/log").stdout
    try:
        for _ in range(60):
            if sql(leader, "SELECT pg_is_in_recovery()", f"-h {place} -p 5499") == "f":
                break
            time.sleep(0.5)
        assert sql(leader, "SELECT count(*) FROM kept", f"-h {place} -p 5499") == rows
    finally:
        run(leader, f"/usr/lib/postgresql/17/bin/pg_ctl -D {place} -m immediate stop; rm -rf {place}*")


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_pgbackrest_verifies_every_file(leader, repository):
    done = run(leader, f"pgbackrest --stanza=scenario --repo={repository} --output=text --verbose verify")
    assert done.rc == 0 and re.search(r"status: ok", done.stdout), done.stdout + done.stderr


def test_processes_fit_the_host(host):
    config = host.file("/etc/pgbackrest/pgbackrest.conf").content_string
    processors = int(host.check_output("nproc"))
    assert f"[global:restore]\ndelta=y\nprocess-max={min(processors, 16)}\n" in config
    assert f"[global:backup]\nprocess-max={max(processors // 4, 1)}\n" in config


def test_a_restore_is_rehearsed_on_the_standby(host):
    if leads(host):
        sql(host, "SELECT pg_switch_wal()")
    done = host.run("systemctl start elephant-backup-rehearsal.service")
    said = host.check_output("journalctl --unit elephant-backup-rehearsal.service --no-pager --lines 5")
    assert done.rc == 0, said
    if leads(host):
        assert "members come before this one" in said
        return
    assert "every table and index is whole" in said
    result = json.loads(host.file("/var/lib/pgbackrest/elephant-rehearsal.json").content_string)
    assert result["ok"] and [it["repository"] for it in result["repositories"]] == list(REPOSITORIES)
    assert not host.file("/var/lib/pgbackrest/rehearsal").exists


def test_a_rehearsal_without_room_is_refused(host):
    if leads(host):
        pytest.skip("the leader does not rehearse")
    done = run(host, with_settings(host, minimum_free_mb=10**9) + " rehearse")
    assert done.rc == 1 and "of which 1000000000 stay free" in done.stderr, done.stdout + done.stderr
    assert not host.file("/var/lib/pgbackrest/rehearsal").exists


def test_a_broken_page_is_told_by_the_backup_and_by_the_rehearsal(host):
    """On the standby, from which backups are taken; the leader's page is whole."""
    if leads(host):
        pytest.skip("backups are taken from the standby")
    leader = machine("db-1")
    sql(leader, "CREATE TABLE IF NOT EXISTS pages (n int PRIMARY KEY)")
    sql(leader, "INSERT INTO pages SELECT generate_series(1, 10000) ON CONFLICT DO NOTHING")
    assert sql(leader, "SHOW data_checksums") == "on"
    sql(leader, "CHECKPOINT; SELECT pg_switch_wal()")
    point = sql(leader, "SELECT pg_current_wal_lsn()")
    for _ in range(100):
        if sql(host, f"SELECT pg_last_wal_replay_lsn() >= '{point}'") == "t":
            break
        time.sleep(0.1)
    sql(host, "CHECKPOINT")
    file = "/var/lib/postgresql/17/main/" + sql(leader, "SELECT pg_relation_filepath('pages_pkey')")
    host.check_output(f"cp -p {file} /var/tmp/whole")
    try:
        # Within the third page, behind its header.
        host.check_output(f"head -c 200 /dev/urandom | dd of={file} bs=1 seek={2 * 8192 + 4000} conv=notrunc")
        done = run(host, f"{TOOL} take --type=full")
        assert done.rc == 1 and "has damaged pages" in done.stderr and "Keep the older backups" in done.stderr, done.stdout + done.stderr
        assert host.run("systemctl start elephant-backup.service").rc != 0, "nothing is due, and the newest is still damaged"
        done = run(host, f"{TOOL} rehearse")
        assert done.rc == 1 and "pg_amcheck found damage in" in done.stderr and "pages_pkey" in done.stderr, done.stdout + done.stderr
    finally:
        host.check_output(f"cp -p /var/tmp/whole {file}")
    done = run(host, f"{TOOL} take --type=full")
    assert done.rc == 0, done.stderr
    assert host.run("systemctl start elephant-backup.service").rc == 0
    done = run(host, f"{TOOL} rehearse")
    assert done.rc == 0, done.stderr


def test_the_state_of_the_backups_is_told(host):
    told = json.loads(run(host, f"{TOOL} status").stdout)
    assert told["repositories"][0]["newest"]["full"]["damaged"] is False
    assert told["leader"] == leads(host)
