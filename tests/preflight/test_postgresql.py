"""What role postgresql refuses before any host is touched."""

import pytest

ROWS = [
    ({"postgresql_parameters": {"max_connections": 500}}, "has max_connections, which all members must share"),
    ({"postgresql_parameters": {"Listen_Addresses": "*"}}, "has listen_addresses"),
    ({"postgresql_memory_mb": 64}, "postgresql_memory_mb is 64; give at least 256"),
    ({"postgresql_version": "14"}, "14"),
]


@pytest.mark.parametrize(("variables", "sentence"), ROWS, ids=[sentence for _, sentence in ROWS])
def test_is_refused(refusal, variables, sentence):
    answer = refusal("postgresql", variables)
    assert answer is not None
    assert any(it in answer for it in sentence.split("|")), answer


def test_what_works_is_let_through(refusal):
    assert refusal("postgresql", {}) is None
    assert (
        refusal("postgresql", {"postgresql_memory_mb": 256, "postgresql_parameters": {"work_mem": "8MB"}, "postgresql_version": "18"})
        is None
    )


def test_a_key_without_its_checksum(refusal):
    said = refusal("postgresql", {"postgresql_source": "upstream", "postgresql_upstream_key": "/some/key.asc"})
    assert "postgresql_upstream_key is /some/key.asc" in said and "give the SHA-256 of that file" in said


def test_a_repository_without_an_address(refusal):
    said = refusal("postgresql", {"postgresql_source": "upstream", "postgresql_upstream_url": "apt.postgresql.org"})
    assert 'postgresql_upstream_url is "apt.postgresql.org"' in said


def test_the_projects_repository_needs_no_more_than_its_name(refusal):
    assert refusal("postgresql", {"postgresql_source": "upstream"}) is None
    assert "distribution, upstream" in refusal("postgresql", {"postgresql_source": "pgdg"})


def test_a_kernel_that_leaves_a_few_mib_more_or_less_asks_for_no_restart(rendered):
    def sized(memory):
        host = {"memory_mb": memory, "disk_mb": 50000, "processors": 2}
        return rendered("postgresql", {"__postgresql_host": host}, "__postgresql_sizing")

    assert sized(3917) == sized(3919) == sized(3921)
    assert sized(3921)["shared_buffers"] == "976MB"
    assert sized(4096)["shared_buffers"] == "1024MB"


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, "/var/lib/postgresql/17/main"),
        ({"postgresql_version": "18"}, "/var/lib/postgresql/18/main"),
        ({"patroni_data_directory": "/srv/pg/17/main"}, "/srv/pg/17/main"),
    ],
)
def test_whoever_asks_for_the_data_directory_is_told_one(mapped, variables, place):
    roles = ("postgresql", "pgbackrest", "replication")
    told = {role: mapped(f"{role}_data_directory", "a", {"postgresql": ["a"]}, **variables) for role in roles}
    assert told == dict.fromkeys(roles, place)
