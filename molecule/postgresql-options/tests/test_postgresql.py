"""Judged by PostgreSQL itself, which runs in the role's data directory with the role's settings, and by psql over TLS."""

import json

import pytest

BINARIES = "/usr/lib/postgresql/17/bin"
DATA = "/srv/postgresql/data"
SETTINGS = "/etc/elephant/postgresql.conf"
TLS = "host=127.0.0.1 user=postgres dbname=postgres sslmode=verify-full sslrootcert=/srv/tls/elephant/ca.crt"


@pytest.fixture(scope="module")
def running(host):
    """A cluster in the folder that the role made; whoever forms one does no more than this."""
    as_postgres = "cd / && runuser -u postgres --"
    host.check_output(f"{as_postgres} {BINARIES}/initdb -D {DATA} --auth=peer --auth-host=trust >/dev/null")
    host.check_output(f"echo \"include '{SETTINGS}'\" >> {DATA}/postgresql.conf")
    host.check_output(f"{as_postgres} {BINARIES}/pg_ctl -D {DATA} -w start >/dev/null 2>&1")
    yield host
    host.check_output(f"{as_postgres} {BINARIES}/pg_ctl -D {DATA} -m fast -w stop")


def ask(host, sql, where="dbname=postgres"):
    login = "" if "host=" in where else "runuser -u postgres --"
    return host.check_output(f"cd / && {login} psql -XAtq -v ON_ERROR_STOP=1 -d %s -c %s", where, sql)


def test_it_runs_where_it_was_told_and_nowhere_else(running):
    assert ask(running, "SHOW data_directory") == DATA
    assert running.check_output(f"stat -c '%a %U' {DATA}") == "700 postgres"
    assert not running.file("/var/lib/postgresql/17").exists
    assert running.check_output("pg_lsclusters --no-header") == ""


def test_every_setting_is_taken_and_one_of_an_extension_too(running):
    assert ask(running, "SELECT name || ': ' || error FROM pg_file_settings WHERE error IS NOT NULL") == ""
    assert ask(running, "SHOW work_mem") == "12MB"
    assert ask(running, "SHOW jit") == "off"
    assert ask(running, "SHOW auto_explain.log_min_duration") == "2s"
    assert ask(running, "SHOW shared_buffers") == "256MB"


def test_a_client_that_verifies_the_server_gets_tls_1_3_and_no_older_one(running):
    version = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert ask(running, version, TLS) == "TLSv1.3"
    older = running.run(f"psql -XAtqc 'SELECT 1' '{TLS} ssl_max_protocol_version=TLSv1.2'")
    assert older.rc != 0 and "protocol version" in older.stderr


def test_the_extension_that_was_asked_for_can_be_made(running):
    assert ask(running, "CREATE EXTENSION hypopg; DROP EXTENSION hypopg") == ""


def test_slots_may_keep_a_part_of_the_disk_only(running):
    blocks, size = map(int, running.check_output("stat --file-system --format '%b %S' /srv").split())
    disk = blocks * size // 1048576
    assert ask(running, "SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size'") == str(max(disk // 5, 512))


def test_a_changed_setting_and_a_renewed_certificate_are_in_force_without_a_restart(running, converge):
    started = ask(running, "SELECT pg_postmaster_start_time()")
    serial = "openssl s_client -connect 127.0.0.1:5432 -starttls postgres </dev/null 2>/dev/null | openssl x509 -noout -serial"
    before = running.check_output(serial)
    running.check_output("rm /srv/tls/elephant/postgresql.crt")
    parameters = {"work_mem": "13MB", "shared_preload_libraries": "pg_stat_statements,auto_explain"}
    run = converge("--extra-vars", json.dumps({"postgresql_parameters": parameters}))
    assert run.status == 0, run.output
    running.check_output(
        "timeout 60 sh -c 'until runuser -u postgres -- psql -XAtc \"SHOW work_mem\" -d postgres | grep -q 13MB; do :; done'"
    )
    assert ask(running, "SHOW auto_explain.log_min_duration") == "-1"
    assert running.check_output(serial) != before
    assert ask(running, "SELECT pg_postmaster_start_time()") == started
    assert converge().changed == {("db-1", "The settings of this host are in place")}


def test_exactly_what_drifted_is_repaired(running, converge):
    running.check_output(f"echo \"fsync = 'off'\" >> {SETTINGS}")
    running.check_output("chmod 0644 /srv/tls/elephant/postgresql.key")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {
        ("db-1", "What is due is known, and has a new key"),
        ("db-1", "The settings of this host are in place"),
    }, run.output
    assert "-fsync = 'off'" in run.output
    assert ask(running, "SHOW fsync") == "on"

    running.check_output(f"chmod 0666 {SETTINGS} && chown daemon {SETTINGS} && chmod 0755 {DATA}")
    run = converge()
    assert run.changed == {("db-1", "The folders are there"), ("db-1", "The settings of this host are in place")}, run.output
    assert running.check_output(f"stat -c '%a %U' {SETTINGS} {DATA}").splitlines() == ["644 root", "700 postgres"]
    assert converge().changed == set()


def test_a_version_that_no_repository_has_is_said_and_nothing_is_installed(running, converge):
    before = running.check_output("dpkg --list | sha256sum")
    run = converge("--extra-vars", '{"postgresql_version": "15", "postgresql_packages": []}')
    assert run.status != 0
    assert "No repository of db-1 has postgresql-15, postgresql-client-15; choose another postgresql_version" in run.output
    assert running.check_output("dpkg --list | sha256sum") == before
