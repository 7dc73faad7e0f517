"""Judged by patronictl, psql, the REST API and systemd, not by the files that the role wrote."""

import json
import re

import pytest

CERTIFICATES = "/etc/elephant/certificates"


@pytest.fixture(autouse=True)
def database_host(host):
    if "postgresql" not in host.ansible.get_variables()["group_names"]:
        pytest.skip("a database host's matter")


@pytest.fixture
def curl(host):
    """A judge that no role installs."""
    host.check_output("command -v curl || apt-get install --quiet --yes curl")


def sql(host, query):
    return host.check_output("runuser -u postgres -- psql -XAtd postgres -c %s", query)


def rest(host, path, *arguments, certificate=True):
    """Status and body of a request to this member's REST API."""
    shown = ["--cert", f"{CERTIFICATES}/patroni.crt", "--key", f"{CERTIFICATES}/patroni.key"] if certificate else []
    address = host.ansible.get_variables()["cluster_address"]
    command = [
        "curl",
        "-s",
        "--cacert",
        f"{CERTIFICATES}/ca.crt",
        *shown,
        *arguments,
        "-w",
        "\n%{http_code}",
        f"https://{address}:8008{path}",
    ]
    body, _, status = host.check_output(" ".join(["%s"] * len(command)), *command).rpartition("\n")
    return int(status), body


def members(host):
    return {it["Member"]: it for it in json.loads(host.check_output("patronictl list --format json"))}


def leads(host):
    return sql(host, "SELECT pg_is_in_recovery()") == "f"


def test_has_one_leader_and_a_synchronous_standby(host):
    rows = members(host)
    assert set(rows) == {it["name"] for it in host.ansible.get_variables()["patroni_members"]}
    assert sorted(it["Role"] for it in rows.values()) == ["Leader", "Sync Standby"]
    assert {it["State"] for it in rows.values()} == {"running", "streaming"}
    assert len({it["TL"] for it in rows.values()}) == 1


def test_the_standby_streams_synchronously_over_tls_with_its_certificate(host):
    if not leads(host):
        pytest.skip("the leader's view")
    row = sql(
        host,
        "SELECT r.sync_state, r.state, s.ssl, s.version, s.client_dn, r.usename FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid)",
    )
    assert row == "sync|streaming|t|TLSv1.3|/CN=replicator|replicator"


def test_settings_that_the_design_promises_are_in_force(host):
    wanted = {
        "data_checksums": "on",
        "ssl_min_protocol_version": "TLSv1.3",
        "password_encryption": "scram-sha-256",
        "wal_sender_timeout": "5s",
        "wal_receiver_timeout": "5s",
        "archive_mode": "on",
        "archive_timeout": "1min",
        "max_connections": "200",
        "allow_alter_system": "off",
        "shared_buffers": "256MB",
        "listen_addresses": host.ansible.get_variables()["cluster_address"],
    }
    names = ", ".join(f"'{it}'" for it in wanted)
    found = sql(host, f"SELECT name, current_setting(name) FROM pg_settings WHERE name IN ({names})")
    assert dict(row.split("|") for row in found.splitlines()) == wanted
    assert sql(host, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
    assert (
        sql(
            host,
            "SELECT string_agg(error, ' ') FROM pg_file_settings WHERE error IS NOT NULL AND error !~ 'overridden|could not be applied'",
        )
        == ""
    )


def test_slow_statements_lock_waits_and_checkpoints_are_logged_for_a_week(host):
    wanted = {
        "log_checkpoints": "on",
        "log_filename": "postgresql-%a.log",
        "log_lock_waits": "on",
        "log_min_duration_statement": "1s",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "logging_collector": "on",
    }
    assert {it: sql(host, f"SHOW {it}") for it in wanted} == wanted
    log = sql(host, "SELECT pg_current_logfile()")
    sql(host, "SELECT pg_sleep(1.1), 'a slow statement'")
    wait = 'timeout 30 sh -c \'until grep -q "$1" "$2"; do sleep 0.2; done\' -'
    assert host.run(f"{wait} %s %s", "duration: .*a slow statement", log).rc == 0
    modes = host.check_output("stat -c '%%a %%U %%G' /var/log/postgresql/elephant %s", log)
    assert modes.splitlines() == ["2750 postgres adm", "640 postgres adm"]
    # Debian rotates by copying and truncating what its pattern reaches.
    reached = host.check_output("sed -n 's/ *{$//p' /etc/logrotate.d/postgresql-common")
    assert reached and log not in host.run(f"ls {reached}").stdout


def test_the_cluster_has_the_settings_of_the_fast_preset(host, curl):
    _, body = rest(host, "/config")
    config = json.loads(body)
    assert {it: config[it] for it in ("ttl", "loop_wait", "retry_timeout")} == {"ttl": 20, "loop_wait": 1, "retry_timeout": 5}
    assert config["failsafe_mode"] is True and config["synchronous_mode"] is True and config["check_timeline"] is True
    assert config["synchronous_mode_strict"] is False and config["primary_start_timeout"] == 0


def test_access_ends_closed_and_nobody_is_trusted(host):
    rows = sql(host, "SELECT type, database, user_name, auth_method, error FROM pg_hba_file_rules ORDER BY rule_number").splitlines()
    assert rows[0] == "local|{all}|{all}|peer|"
    assert rows[-2:] == ["host|{all}|{all}|reject|", "host|{replication}|{all}|reject|"]
    assert not [it for it in rows if "|trust|" in it or not it.endswith("|")]


@pytest.mark.parametrize("user", ["postgres", "replicator", "rewinder"])
def test_users_of_the_cluster_cannot_come_with_a_password(host, user):
    address = host.ansible.get_variables()["cluster_address"]
    came = host.run(f"PGPASSWORD=x psql 'host={address} user={user} dbname=postgres sslmode=require connect_timeout=3' -c 'SELECT 1'")
    assert came.rc != 0
    assert "rejects connection" in came.stderr or "certificate" in came.stderr, came.stderr


def test_plain_connections_are_refused(host):
    address = host.ansible.get_variables()["cluster_address"]
    came = host.run(f"psql 'host={address} user=app dbname=postgres sslmode=disable connect_timeout=3' -c 'SELECT 1'")
    assert came.rc != 0 and "rejects connection" in came.stderr and "no encryption" in came.stderr, came.stderr


def test_rest_is_read_by_all_and_changed_with_a_certificate_only(host, curl):
    assert rest(host, "/patroni", certificate=False)[0] == 200
    status, body = rest(host, "/config", "-X", "PATCH", "-d", '{"ttl": 20}', certificate=False)
    assert (status, body) == (403, "client certificate required")
    assert rest(host, "/config", "-X", "PATCH", "-d", '{"ttl": 20}')[0] == 200


def test_nobody_can_make_a_database_any_more(host):
    assert "bootstrap.yml" not in host.check_output("ls /etc/elephant/patroni")
    assert host.check_output("stat -c '%a %U %G' /etc/elephant/patroni/etcd.yml") == "640 root postgres"


def test_the_unit_never_gives_up_and_spares_postgresql(host):
    wanted = {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "Restart": "always",
        "StartLimitIntervalUSec": "0",
        "OOMPolicy": "continue",
        "KillMode": "process",
        "Type": "simple",
        "FragmentPath": "/etc/systemd/system/patroni.service",
        "NeedDaemonReload": "no",
    }
    shown = host.check_output("systemctl show patroni --property %s", ",".join(wanted))
    assert dict(it.split("=", 1) for it in shown.splitlines()) == wanted
    assert "/var/lib/postgresql/17/main" in host.check_output("systemctl show patroni --property RequiresMountsFor")
    assert host.run("systemctl list-units --no-legend 'postgresql@*'").stdout.strip() == ""


def test_the_unit_can_do_little_but_run_postgresql(host):
    said = host.run("systemd-analyze security --offline=true /etc/systemd/system/patroni.service").stdout
    assert float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said)[1]) <= 2.5, said
    # Against a shortage of memory Patroni and the postmaster are held, and backends are not.
    assert host.check_output("systemctl show patroni --value --property OOMScoreAdjust") == "-900"
    given = "tr '\\0' '\\n' < /proc/$(head -n 1 /var/lib/postgresql/17/main/postmaster.pid)/environ | grep ^PG_OOM | sort"
    assert host.check_output(given).split() == ["PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj", "PG_OOM_ADJUST_VALUE=0"]
