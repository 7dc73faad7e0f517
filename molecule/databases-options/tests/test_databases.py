"""Judged by psql: what users may do, and that nobody lost what is not in the lists."""

import json

WITHOUT_LISTS = """
SELECT rolname, rolcanlogin, rolcreatedb, rolconnlimit FROM pg_roles WHERE rolname = 'stranger';
SELECT datname, datdba::regrole FROM pg_database WHERE datname = 'stranger';
SELECT nspname, nspowner::regrole, nspacl FROM pg_namespace WHERE nspname = 'strangers';
SELECT extname, extversion FROM pg_extension WHERE extname = 'pg_trgm';
SELECT relname, relacl FROM pg_class WHERE relname = 'notes';
SELECT n FROM strangers.notes;
SELECT 'lock_timeout=5s' = ANY (setconfig) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
  WHERE datname = 'shop' AND setrole = 0;
SELECT has_database_privilege('stranger', 'shop', 'TEMPORARY');
"""
STRANGERS = """stranger|t|t|3
stranger|stranger
strangers|stranger|
pg_trgm|1.6
notes|{postgres=arwdDxtm/postgres,=r/postgres}
1
t
t"""


def ask(host, sql, user=None, password=None, database="shop"):
    """Rows as text, or what PostgreSQL said against it; with a user, over TCP and by password."""
    login = f"PGHOST=127.0.0.1 PGUSER={user} PGPASSWORD={password}" if user else "PGHOST=/run/other runuser -u postgres --"
    run = host.run(f"cd / && PGPORT=5433 {login} psql -XAtq -v ON_ERROR_STOP=1 -d %s -c %s", database, sql)
    return (run.stdout if run.rc == 0 else run.stderr).strip()


def test_nothing_that_is_not_listed_was_touched(host):
    assert ask(host, WITHOUT_LISTS) == STRANGERS


def test_what_was_asked_to_go_is_gone(host):
    assert ask(host, "SELECT rolname FROM pg_roles WHERE rolname = 'leaver'") == ""
    assert ask(host, "SELECT datname FROM pg_database WHERE datname = 'gone'") == ""
    assert ask(host, "SELECT nspname FROM pg_namespace WHERE nspname = 'old'") == ""
    assert ask(host, "SELECT extname FROM pg_extension WHERE extname = 'citext'") == ""


def test_users_may_do_what_they_were_allowed(host):
    assert ask(host, "CREATE ROLE helper; DROP ROLE helper", "owner", "owner-1") == ""
    assert "permission denied" in ask(host, "CREATE ROLE helper", "subscriber", "subscriber-1")
    assert "permission denied" in ask(host, "CREATE DATABASE mine", "subscriber", "subscriber-1")
    assert ask(host, "SHOW statement_timeout", "owner", "owner-1") == "20s"
    assert ask(host, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'keeper'") == "f"


def test_a_subscriber_may_stream_and_others_may_not(host):
    stream = "cd / && PGPASSWORD={1} psql -XAtc IDENTIFY_SYSTEM 'host=127.0.0.1 port=5433 dbname=shop replication=database user={0}'"
    assert host.run(stream.format("subscriber", "subscriber-1")).rc == 0
    assert "permission denied to start WAL sender" in host.run(stream.format("owner", "owner-1")).stderr


def test_the_database_is_as_it_was_asked_for(host):
    of_shop = "SELECT datdba::regrole, pg_encoding_to_char(encoding), datcollate, datconnlimit FROM pg_database WHERE datname = 'shop'"
    assert ask(host, of_shop) == "owner|UTF8|C.UTF-8|30"
    assert ask(host, "SHOW search_path", "owner", "owner-1") == "stock, public"
    assert ask(host, "SHOW default_transaction_isolation", "owner", "owner-1") == "repeatable read"
    assert ask(host, "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'stock'") == "keeper"
    # Everybody may connect, for it was asked for; a stranger, by peer over the socket, too.
    assert ask(host, "SELECT has_database_privilege('stranger', 'shop', 'CONNECT')") == "t"


def test_grants_hold_for_what_their_owner_makes_later_and_for_nobody_elses(host):
    # By two roles in turn; the schema belongs to the first of them.
    assert ask(host, "SET ROLE keeper; CREATE TABLE stock.keepers (n int); RESET ROLE; CREATE TABLE stock.others (n int)") == ""
    assert ask(host, "SELECT count(*) FROM stock.keepers", "subscriber", "subscriber-1") == "0"
    assert "permission denied" in ask(host, "SELECT count(*) FROM stock.others", "subscriber", "subscriber-1")
    assert ask(host, "DROP TABLE stock.keepers, stock.others") == ""


def test_an_extension_is_brought_to_the_version_that_is_asked_for(host, converge):
    version = "SELECT extversion, extnamespace::regnamespace FROM pg_extension WHERE extname = 'hstore'"
    assert ask(host, version) == "1.7|stock"
    shop = {"name": "shop", "connection_limit": 30, "public_connect": True, "extensions": [{"name": "hstore", "version": "1.8"}]}
    run = converge("--extra-vars", json.dumps({"databases_databases": [shop]}))
    assert run.status == 0, run.output
    assert ask(host, version) == "1.8|stock"
    assert ask(host, WITHOUT_LISTS) == STRANGERS
    ask(host, "DROP EXTENSION hstore")
    assert converge().status == 0
    assert ask(host, version) == "1.7|stock"


def test_a_new_password_is_the_only_change_and_open_sessions_stay(host, converge):
    session = "PGHOST=127.0.0.1 PGPORT=5433 PGUSER=owner PGPASSWORD=owner-1 psql -XAt -d shop -c 'SELECT pg_sleep(600)'"
    host.check_output(f'systemd-run --quiet --collect --unit session -p WorkingDirectory=/ bash -c "{session}"')
    host.check_output("timeout 60 sh -c 'until pgrep -f \"postgres: 17/main: owner shop\" >/dev/null; do :; done'")
    run = converge(
        "--extra-vars", json.dumps({"databases_users": [{"name": "owner", "password": "owner-2", "createdb": True, "createrole": True}]})
    )
    assert run.status == 0, run.output
    assert "user owner: password set" in run.output
    assert "owner-2" not in run.output and "SCRAM" not in run.output
    assert ask(host, "SELECT 1", "owner", "owner-2") == "1"
    assert "password authentication failed" in ask(host, "SELECT 1", "owner", "owner-1")
    assert host.check_output("systemctl is-active session") == "active"
    host.check_output("systemctl stop session")
    assert converge().changed == {("db-1", "Users and databases are as they should be")}
    assert ask(host, "SELECT 1", "owner", "owner-1") == "1"


def test_what_is_taken_out_of_the_lists_stays(host, converge):
    before = ask(host, "SELECT rolname FROM pg_roles ORDER BY 1") + ask(host, "SELECT datname FROM pg_database ORDER BY 1")
    run = converge("--extra-vars", '{"databases_users": [], "databases_databases": []}')
    assert run.status == 0 and run.changed == set(), run.output
    assert ask(host, "SELECT rolname FROM pg_roles ORDER BY 1") + ask(host, "SELECT datname FROM pg_database ORDER BY 1") == before


def test_a_user_who_still_owns_something_is_not_dropped(host, converge):
    run = converge("--extra-vars", '{"databases_databases": [], "databases_users": [{"name": "keeper", "state": "absent"}]}')
    assert run.status != 0
    assert "owner of schema stock" in run.output or "cannot be dropped because some objects depend on it" in run.output, run.output
    assert ask(host, "SELECT rolname FROM pg_roles WHERE rolname = 'keeper'") == "keeper"


def test_exactly_what_drifted_is_repaired(host, converge):
    broken = (
        "ALTER ROLE subscriber NOREPLICATION CONNECTION LIMIT 9",
        "ALTER ROLE owner SET statement_timeout TO '1s'",
        "ALTER SCHEMA stock OWNER TO owner",
        "ALTER DATABASE shop OWNER TO postgres",
        "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
    )
    for sql in broken:
        assert ask(host, sql) == ""
    run = converge()
    assert run.status == 0, run.output
    said = sorted(line[1:] for line in run.output.splitlines() if line.startswith("+") and not line.startswith("++"))
    assert len(said) == len(broken), said
    assert [line.split(":")[0] for line in said] == ["database shop"] * 3 + ["role owner", "user subscriber"], said
    assert converge().changed == set()
