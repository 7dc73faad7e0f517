"""What the role replication refuses before it asks a host."""

import pytest

GOOD = {
    "replication_name": "db-1",
    "replication_members": [{"name": f"db-{number}", "address": f"192.0.2.{20 + number}"} for number in (1, 2, 3)],
    "replication_client_cidrs": ["192.0.2.0/24"],
    "replication_upstreams": {"db-3": "db-2"},
    "replication_delays": {"db-3": "1h"},
    "replication_synchronous_standbys": 1,
}
TWINS = [{"name": "db-1", "address": "192.0.2.21"}, {"name": "DB_1", "address": "192.0.2.22"}]


def test_a_good_set_of_variables(refusal):
    assert refusal("replication", GOOD) is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"replication_name": "db-9"}, "replication_name is db-9"),
        ({"replication_members": GOOD["replication_members"][:1], "replication_upstreams": {}}, "a primary and a standby are two"),
        ({"replication_members": TWINS, "replication_upstreams": {}, "replication_delays": {}}, "differ only in case"),
        ({"replication_primary": "db-9"}, "replication_primary is db-9"),
        ({"replication_upstreams": {"db-3": "db-9"}}, "name db-9"),
        ({"replication_upstreams": {"db-3": "db-2", "db-2": "db-3"}}, "in a circle"),
        ({"replication_delays": {"db-3": "an hour"}}, "replication_delays has an hour"),
        ({"replication_synchronous_standbys": 2}, "replication_synchronous_standbys is 2, and 1 standbys"),
        ({"replication_parameters": {"port": 5433}}, "replication_parameters has port"),
        ({"replication_client_cidrs": ["192.0.2.1"]}, "replication_client_cidrs has 192.0.2.1"),
        ({"replication_client_cidrs": ["0.0.0.0/0"]}, "the whole world"),
        ({"replication_pg_hba": ["host all all all trust"]}, "lets somebody in unasked"),
        ({"replication_password": "short"}, "fewer than 12 characters"),
        ({"replication_rebuild_by": "magic"}, "replication_rebuild_by"),
    ],
)
def test_a_sentence_names_what_is_wrong(refusal, changed, sentence):
    assert sentence in refusal("replication", GOOD | changed)
