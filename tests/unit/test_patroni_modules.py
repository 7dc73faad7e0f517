"""The decisions of Patroni's modules, apart from the hosts that they are made about."""

import copy

import pytest
from ansible_collections.elephant.ha.plugins.module_utils import patroni_rest
from ansible_collections.elephant.ha.plugins.modules import patroni_dynamic_configuration as dynamic
from ansible_collections.elephant.ha.plugins.modules import patroni_info as info
from ansible_collections.elephant.ha.plugins.modules import postgresql_host_info as host
from hypothesis import given
from hypothesis import strategies as st

scalars = st.booleans() | st.integers(0, 5) | st.sampled_from(["on", "5s", "1"])
tables = st.dictionaries(st.sampled_from("abcd"), scalars, max_size=4)
documents = st.recursive(tables, lambda it: st.dictionaries(st.sampled_from("abcd"), scalars | it, max_size=4))


def patronis_patch(config: dict, data: dict) -> bool:
    """Patroni's documented rule for PATCH /config, written anew: null removes, objects merge, the rest replaces."""
    for name, value in data.items():
        if value is None:
            config.pop(name, None)
        elif isinstance(value, dict) and isinstance(config.get(name), dict):
            patronis_patch(config[name], value)
        else:
            config[name] = value
    return True


def as_read(value):
    """A document as Patroni reads it: a number and its digits are one, a boolean is itself."""
    if isinstance(value, dict):
        return {key: as_read(inner) for key, inner in value.items()}
    return value if isinstance(value, bool) else str(value)


@given(documents, documents)
def test_the_difference_makes_one_into_the_other(before, after):
    result = copy.deepcopy(before)
    patronis_patch(result, dynamic.difference(before, after))
    assert as_read(result) == as_read(after)
    assert result == dynamic.applied(before, dynamic.difference(before, after))


@given(documents)
def test_equal_documents_need_no_request(document):
    assert dynamic.difference(document, copy.deepcopy(document)) == {}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"ttl": 30}, {"ttl": 20}, {"ttl": 20}),
        ({"ttl": 20, "old": 1}, {"ttl": 20}, {"old": None}),
        (
            {"postgresql": {"parameters": {"a": "1", "b": "2"}}},
            {"postgresql": {"parameters": {"a": "1"}}},
            {"postgresql": {"parameters": {"b": None}}},
        ),
        ({"a": "20"}, {"a": 20}, {}),
        ({"a": True}, {"a": 1}, {"a": 1}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
    ],
)
def test_the_difference_is_the_smallest(before, after, patch):
    assert dynamic.difference(before, after) == patch


def test_null_means_absent_at_every_depth():
    assert dynamic.without_nulls({"a": None, "b": {"c": None, "d": 1}}) == {"b": {"d": 1}}


LEADER = {"name": "db-1", "role": "leader", "state": "running"}
STANDBY = {"name": "db-2", "role": "sync_standby", "state": "streaming"}


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (None, "does not answer"),
        ([STANDBY], "no running leader"),
        ([LEADER | {"state": "starting"}, STANDBY], "no running leader"),
        ([LEADER], "not a member"),
        ([LEADER, STANDBY | {"state": "creating replica"}], "creating replica"),
        ([LEADER, STANDBY | {"role": "replica"}], "synchronous"),
        ([LEADER, STANDBY], ""),
    ],
)
def test_a_member_is_settled_only_with_leader_stream_and_synchronous_standby(members, sentence):
    answer = info.settled("db-2", None if members is None else {"members": members}, 2)
    assert (sentence in answer) if sentence else not answer


def test_a_member_that_left_is_waited_for_until_nobody_counts_it():
    asked = {"name": "db-1", "gone": "db-2", "synchronous_members": 0}
    there = {"members": [LEADER, {"name": "db-2", "role": "replica", "state": "streaming"}]}
    assert "db-2 still renews its place" in info.misses(asked, there)
    assert not info.misses(asked, {"members": [LEADER]})
    assert not info.misses(asked | {"gone": ""}, there)
    assert "does not answer" in info.misses(asked, None)


def test_a_leader_alone_is_settled_while_its_only_standby_is_away():
    assert not info.settled("db-1", {"members": [LEADER]}, 2)


def test_pending_names_member_and_parameters():
    members = [LEADER | {"pending_restart": True, "pending_restart_reason": {"max_connections": {}}}, STANDBY]
    assert info.pending({"members": members}) == {"db-1": ["max_connections"]}
    assert info.pending(None) == {}


@pytest.mark.parametrize(
    ("limits", "expected"), [([], 2000), (["max\n"], 2000), ([str(512 * 1048576)], 512), (["9223372036854771712"], 2000)]
)
def test_memory_is_the_lower_of_machine_and_container(limits, expected):
    assert host.memory_mb("MemFree: 1 kB\nMemTotal: 2048000 kB\n", limits) == expected


def test_a_prefix_ends_before_the_next_sibling():
    assert patroni_rest._after("/service/one/") == "/service/one0"
    assert "/service/one/leader" < patroni_rest._after("/service/one/") < "/service/two/"
