"""What role databases refuses before any host is touched."""

import pytest

ROWS = [
    ({"databases_users": [{"name": "app"}, {"name": "app"}]}, "names one thing twice"),
    ({"databases_databases": [{"name": "app"}, {"name": "app"}]}, "names one thing twice"),
    ({"databases_users": [{"name": ""}]}, "longer than 63 characters"),
    ({"databases_users": [{"name": "x" * 64}]}, "longer than 63 characters"),
    ({"databases_databases": [{"name": "app", "schemas": [{"name": "x" * 64}]}]}, "longer than 63 characters"),
    ({"databases_users": [{"name": "postgres"}]}, "belongs to the cluster"),
    ({"databases_users": [{"name": "pg_monitor"}]}, "belongs to the cluster"),
    ({"databases_users": [{"name": "replicator", "state": "absent"}]}, "belongs to the cluster"),
    ({"databases_databases": [{"name": "postgres", "state": "absent"}]}, "asks to drop postgres"),
    ({"databases_users": [{"name": "app", "state": "absent"}], "databases_databases": [{"name": "app", "owner": "app"}]}, "who owns"),
    ({"databases_users": [{"name": "app", "password": ""}]}, "empty or holds a zero byte"),
    ({"databases_users": [{"name": "app", "password": "line\nand\0zero"}]}, "empty or holds a zero byte"),
    ({"databases_users": [{"name": "app", "settings": {"search_path": "a, b"}}]}, "give a list of schemas"),
    ({"databases_databases": [{"name": "app", "grants": [{"role": "r", "on": "views", "privileges": ["SELECT"]}]}]}, "must be one of"),
    ({"databases_users": [{"name": "app", "pasword": "typo"}]}, "databases_users.pasword"),
]


@pytest.mark.parametrize(("variables", "sentence"), ROWS, ids=[sentence for _, sentence in ROWS])
def test_is_refused(refusal, variables, sentence):
    answer = refusal("databases", variables)
    assert answer is not None
    assert sentence in answer, answer


def test_what_works_is_let_through(refusal):
    users = [{"name": "app", "password": "s'e\"c ret ä"}, {"name": 'o\'Brien "x"', "settings": {"search_path": ["a"]}}, {"name": "x" * 63}]
    assert refusal("databases", {"databases_users": users, "databases_databases": [{"name": "app", "owner": "app"}]}) is None


def test_no_refusal_shows_a_password(refusal):
    users = [{"name": "postgres", "password": "hunter2"}, {"name": "postgres", "password": "hunter2"}]
    assert "hunter2" not in refusal("databases", {"databases_users": users})
