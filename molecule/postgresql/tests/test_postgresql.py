"""Judged by PostgreSQL, which starts a scratch cluster with the settings that the role wrote."""

import pytest

SETTINGS = "/etc/elephant/postgresql.conf"
BINARIES = "/usr/lib/postgresql/17/bin"


@pytest.fixture(scope="module")
def scratch(host):
    """A cluster beside the real data directory, with the role's settings, gone afterwards."""
    folder = "/var/lib/postgresql/scratch"
    as_postgres = "runuser -u postgres --"
    host.check_output(f"{as_postgres} {BINARIES}/initdb -D {folder} --auth=peer")
    host.check_output(
        f"echo \"include '{SETTINGS}'\" >> {folder}/postgresql.conf; echo \"listen_addresses = ''\" >> {folder}/postgresql.conf"
    )
    host.check_output(f"{as_postgres} {BINARIES}/pg_ctl -D {folder} -w start >/dev/null 2>&1")
    yield lambda query: host.check_output(f"{as_postgres} psql -XAtd postgres -c %s", query)
    host.check_output(f"{as_postgres} {BINARIES}/pg_ctl -D {folder} -m immediate stop; rm -rf {folder}")


def test_debian_made_no_cluster_and_runs_none(host):
    assert host.check_output("pg_lsclusters --no-header") == ""
    assert host.run("pgrep -x postgres").rc == 1
    assert host.check_output("ls -A /var/lib/postgresql/17/main") == ""
    assert host.check_output("stat -c '%a %U' /var/lib/postgresql/17/main") == "700 postgres"


def test_postgresql_takes_every_setting(scratch):
    assert scratch(f"SELECT count(*) FROM pg_file_settings WHERE sourcefile = '{SETTINGS}' AND error IS NULL") > "20"
    assert scratch("SELECT coalesce(string_agg(name || ': ' || error, '; '), '') FROM pg_file_settings WHERE error IS NOT NULL") == ""


def test_it_is_sized_for_the_memory_that_it_was_told(scratch):
    assert scratch("SHOW shared_buffers") == "512MB"
    assert scratch("SHOW effective_cache_size") == "1433MB"
    assert scratch("SHOW maintenance_work_mem") == "128MB"


def test_what_the_user_set_replaces_what_was_computed(scratch):
    assert scratch("SHOW log_line_prefix") == "it's %p "
    assert scratch("SHOW ssl") == "off"


def test_alter_system_is_no_third_place_for_settings(host, scratch):
    tried = host.run("runuser -u postgres -- psql -Xd postgres -c \"ALTER SYSTEM SET work_mem = '1GB'\"")
    assert tried.rc != 0 and "ALTER SYSTEM is not allowed" in tried.stderr


def test_logs_are_outside_the_data(host, scratch):
    assert scratch("SELECT pg_current_logfile()").startswith("/var/log/postgresql/elephant/postgresql-")
