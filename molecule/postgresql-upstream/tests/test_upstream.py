"""Judged by apt, dpkg and gpg: whose packages came, on whose word."""

import pytest
import testinfra

PGDG = "B97B0AFCAA1A47F044F244A07FCC7D46ACCC4CF8"
SOURCE = "/etc/apt/sources.list.d/elephant-postgresql.sources"


@pytest.fixture(params=["by-file", "by-url"])
def database(request):
    return testinfra.get_host(f"docker://elephant-postgresql-upstream-{request.param}")


def test_everything_came_from_the_repository(database):
    versions = database.check_output("dpkg-query --show postgresql-17 postgresql-client-17 patroni pgbackrest").split()[1::2]
    assert len(versions) == 4 and all(version.endswith("-1.pgdg13+1") for version in versions), versions
    policy = database.check_output("apt-cache policy postgresql-17")
    assert "http://10.89.61.10:8080 " in policy


def test_apt_trusts_it_by_its_own_key_and_no_other(database):
    assert database.check_output("apt-get update 2>&1 | grep -cE '^(W|E):' || true") == "0"
    signed_by = database.check_output("apt-get indextargets --format '$(SIGNED_BY) $(SITE)' | grep 10.89.61.10 | sort -u")
    assert signed_by.split()[0] == "/etc/apt/keyrings/elephant-postgresql.asc"
    # The distribution is not trusted by it.
    assert database.check_output("apt-get indextargets --format '$(SIGNED_BY)' | sort -u | grep -c elephant") == "1"


def test_none_was_made_and_nothing_runs(database):
    assert database.check_output("pg_lsclusters --no-header") == ""
    assert database.run("pgrep -x postgres").rc == 1 and database.run("pgrep -x patroni").rc == 1


def test_debians_copy_of_the_key_is_the_projects(database):
    database.check_output("apt-get install --yes --no-install-recommends gpg")
    shown = database.check_output("gpg --show-keys --with-colons /usr/share/postgresql-common/pgdg/apt.postgresql.org.asc")
    assert f"fpr:::::::::{PGDG}:" in shown


def test_it_is_what_a_host_uses_that_was_given_no_key(converge):
    run = converge("--check", "--limit", "by-file", "--extra-vars", '{"postgresql_upstream_key": ""}')
    assert run.status == 0, run.output
    assert "+Signed-By: /usr/share/postgresql-common/pgdg/apt.postgresql.org.asc" in run.output


def test_a_key_that_is_another_is_refused_and_nothing_changes(converge):
    run = converge("--extra-vars", f"postgresql_upstream_key_sha256={'0' * 64}")
    assert run.status != 0 and run.changed == set(), run.output
    assert "it is another file than you meant. Nothing was changed." in run.output
    assert f"did not match {'0' * 64}" in run.output.replace("\n", " "), run.output


def test_a_repository_that_somebody_else_signed_is_refused(converge):
    host = testinfra.get_host("docker://elephant-postgresql-upstream-by-url")
    run = converge("--limit", "by-url", "--extra-vars", "postgresql_upstream_suite=forged-pgdg")
    assert run.status != 0, run.output
    assert "forged-pgdg" in run.output and "is not signed" in run.output.replace("isn't", "is not"), run.output
    assert converge("--limit", "by-url").changed == {("by-url", "The repository and its key are in place")}
    host.check_output("apt-get update")


def test_exactly_what_drifted_is_repaired(converge):
    host = testinfra.get_host("docker://elephant-postgresql-upstream-by-file")
    host.check_output(f"sed -i 's/^Signed-By:.*/Trusted: yes/' {SOURCE} && chmod 0666 /etc/apt/keyrings/elephant-postgresql.asc")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {("by-file", "The repository and its key are in place")}, run.output
    assert "Trusted" not in host.file(SOURCE).content_string
    assert host.file("/etc/apt/keyrings/elephant-postgresql.asc").mode == 0o644
