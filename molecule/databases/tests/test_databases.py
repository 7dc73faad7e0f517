"""Judged by psql, logging in as the users do."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
VARIABLES = DataLoader().load_from_file(str(SCENARIO / "inventory/hosts.yml"), trusted_as_template=True)["all"]["vars"]
HOSTILE, PASSWORD = (Templar(DataLoader(), variables=VARIABLES).template(VARIABLES[f"hostile_{it}"]) for it in ("name", "password"))


@pytest.fixture
def primary(host):
    if "primary_address" in host.ansible.get_variables():
        pytest.skip("a standby")
    return host


def ask(host, sql, user=None, password=None, database="app"):
    """Rows as text; with a user, over TCP and by password."""
    command = "psql -XAtq -v ON_ERROR_STOP=1 -d %s -c %s"
    if user is None:
        run = host.run(f"runuser -u postgres -- {command}", database, sql)
    else:
        run = host.run(f"PGPASSWORD=%s PGUSER=%s PGHOST=127.0.0.1 {command}", password, user, database, sql)
    return run.stdout.strip() if run.rc == 0 else run.stderr


def converge(*options):
    base = ["ansible-playbook", "--diff", "--inventory", SCENARIO / "inventory/hosts.yml", SCENARIO.parent / "shared/converge.yml"]
    project = os.environ["MOLECULE_PROJECT_DIRECTORY"]
    plain = os.environ | {"ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.run([*base, *options], capture_output=True, text=True, check=False, cwd=project, env=plain).stdout


@pytest.mark.parametrize(
    ("user", "password", "database"),
    [("app", PASSWORD, "app"), (HOSTILE, PASSWORD, HOSTILE), ("report", "only-ascii-1", "app"), ("ready", "made-elsewhere", HOSTILE)],
    ids=["app", "hostile", "report", "ready verifier"],
)
def test_a_user_logs_in_with_the_password_that_was_given(primary, user, password, database):
    assert ask(primary, "SELECT current_user", user, password, database) == user
    assert "password authentication failed" in ask(primary, "SELECT 1", user, password + "x", database)


def test_verifiers_are_scram(primary):
    assert ask(primary, "SELECT count(*) FROM pg_authid WHERE rolpassword NOT LIKE 'SCRAM-SHA-256$4096:%'") == "0"


def test_the_log_has_seen_no_password_and_no_verifier(primary):
    log = primary.file("/var/log/postgresql/postgresql-17-main.log").content_string
    assert "statement: " in log, "the log must be able to show one"
    assert "only-ascii-1" not in log and "made-elsewhere" not in log
    # The test's own queries name the prefix, never a whole verifier.
    assert not re.search(r"SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{8}", log)


def test_grants_hold_for_what_is_created_later(primary):
    create = 'DROP TABLE IF EXISTS "App Schema".later; CREATE TABLE later (n serial); INSERT INTO later DEFAULT VALUES'
    assert ask(primary, create, "app", PASSWORD) == ""
    assert ask(primary, "SELECT n FROM later", "report", "only-ascii-1") == "1"
    assert "permission denied" in ask(primary, "INSERT INTO later VALUES (2)", "report", "only-ascii-1")
    assert "permission denied" in ask(primary, 'CREATE TABLE "App Schema".mine ()', "report", "only-ascii-1")


def test_nobody_else_connects(primary):
    assert "permission denied for database" in ask(primary, "SELECT 1", HOSTILE, PASSWORD, "app")


def test_sessions_have_their_settings(primary):
    assert ask(primary, "SHOW search_path", "app", PASSWORD) == '"App Schema", public'
    assert ask(primary, "SHOW statement_timeout", "report", "only-ascii-1") == "30s"
    assert ask(primary, "SHOW work_mem", "app", PASSWORD) == "8MB"
    assert ask(primary, "SELECT current_setting('pg_trgm.similarity_threshold')", "app", PASSWORD) == "0.4"


def test_extensions_are_where_they_were_asked_for(primary):
    found = ask(primary, "SELECT extname, extnamespace::regnamespace FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1")
    assert found.splitlines() == ['hstore|"App Schema"', "pg_trgm|public"]


def test_only_what_was_asked_to_go_is_gone(primary):
    assert ask(primary, "SELECT rolname FROM pg_roles WHERE rolname IN ('leaver', 'stranger')") == "stranger"
    assert ask(primary, "SELECT datname FROM pg_database WHERE datname IN ('gone', 'stranger')") == "stranger"
    assert ask(primary, "SELECT nspname FROM pg_namespace WHERE nspname IN ('old', 'App Schema')") == "App Schema"
    assert ask(primary, "SELECT count(*) FROM notes") == "0"


def test_the_standby_was_left_alone_and_follows(host):
    if "primary_address" not in host.ansible.get_variables():
        pytest.skip("the primary")
    assert ask(host, "SELECT pg_is_in_recovery()", database="postgres") == "t"
    assert ask(host, "SELECT 1 FROM pg_roles WHERE rolname = 'app'", database="postgres") == "1"
    assert "read-only transaction" not in host.file("/var/log/postgresql/postgresql-17-main.log").content_string


def test_drift_is_repaired_and_named_and_nothing_else(primary):
    broken = [
        "ALTER ROLE app PASSWORD 'other' CONNECTION LIMIT 5",
        "REVOKE readers FROM report",
        "ALTER DATABASE app SET work_mem TO '9MB'",
        'REVOKE USAGE ON SCHEMA "App Schema" FROM readers',
        'ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA "App Schema" REVOKE SELECT ON TABLES FROM readers',
        "GRANT CONNECT ON DATABASE app TO PUBLIC",
    ]
    for sql in broken:
        assert ask(primary, sql) == ""
    expected = {
        "user app: connection limit 20, password set",
        "user report: member of readers",
        "database app: work_mem = 8MB",
        "database app: readers is given USAGE on schema App Schema",
        "database app: readers is given SELECT on tables in App Schema, later ones of app",
        "database app: every role may not connect",
    }
    run = converge()
    assert set(re.findall(r"^\+(?!\+)(.*)$", run, flags=re.MULTILINE)) == expected, run
    assert PASSWORD not in run and "SCRAM" not in run
    assert set(re.findall(r"changed=(\d+)", converge())) == {"0"}


def test_what_postgresql_refuses_is_said(primary):
    run = converge(
        "--extra-vars", '{"databases_databases": [{"name": "app", "connection_limit": 40, "extensions": [{"name": "no_such"}]}]}'
    )
    assert re.search(r'database app: extension no_such created: PostgreSQL refused: extension "no_such" is not available', run), run
    run = converge("--extra-vars", '{"databases_databases": [{"name": "app", "encoding": "LATIN1"}]}')
    assert "cannot be changed" in run, run
