"""The decisions of Patroni's modules, apart from the hosts that they are made about."""

import copy
import time

import pytest
from ansible_collections.elephant.ha.plugins.module_utils import copying, patroni_rest
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


def test_a_leader_does_not_wait_for_who_is_copied_elsewhere():
    members = {"members": [LEADER, {"name": "db-2", "role": "replica", "state": "creating replica"}]}
    assert not info.settled("db-1", members, 2)
    assert "creating replica" in info.settled("db-2", members, 2)


@pytest.mark.parametrize(
    ("copiers", "given_up"),
    [
        # Moved until it streams; stalls after 300 s; nothing copies; begins again and again.
        (lambda now: ({7}, now), None),
        (lambda now: ({7}, min(now, 300)), 420),
        (lambda now: (set(), 0), 60),
        (lambda now: ({now}, now), 60),
    ],
    ids=["moves", "stalls", "no copy", "never ends well"],
)
def test_a_copy_may_take_as_long_as_it_moves(monkeypatch, copiers, given_up):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + 10 * seconds))
    monkeypatch.setattr(copying, "copiers", lambda: copiers(clock[0]))

    def look(asked):
        state = "streaming" if clock[0] >= 2000 else "creating replica"
        own = STANDBY | {"state": state, "role": "sync_standby" if state == "streaming" else "replica"}
        return {"member": {"role": "replica", "state": state}, "cluster": {"members": [LEADER, own]}}

    monkeypatch.setattr(info, "look", look)
    asked = {"name": "db-2", "wait": 60, "gone": "", "synchronous_members": 2}
    last = info.wait_for(asked, look(asked))
    assert bool(info.misses(asked, last["cluster"])) == (given_up is not None)
    assert clock[0] == pytest.approx(given_up or 2000, abs=5)


def test_pending_names_member_and_parameters():
    members = [LEADER | {"pending_restart": True, "pending_restart_reason": {"max_connections": {}}}, STANDBY]
    assert info.pending({"members": members}) == {"db-1": ["max_connections"]}
    assert info.pending(None) == {}


# As psql prints it: how many settings the files have, then what waits and all that only a restart takes over.
PRINTED = "41\nshared_buffers|t\nautovacuum_freeze_max_age|f\nmax_connections|f\npg_stat_statements.max|f\n"


def test_what_is_left_to_a_restart_is_what_the_server_says_and_no_list():
    changed = ["work_mem", "Autovacuum_Freeze_Max_Age", "pg_stat_statements.max"]
    assert info.left_to_a_restart(PRINTED, changed) == (["shared_buffers"], ["autovacuum_freeze_max_age", "pg_stat_statements.max"])
    assert info.left_to_a_restart(PRINTED, ["work_mem"]) == (["shared_buffers"], [])
    assert info.left_to_a_restart("", changed) == ([], [])


@pytest.mark.parametrize(
    ("printed", "changed", "looks"),
    [
        # Nothing waits: nobody is asked again. Else until Patroni says so, of this member where its own files say so.
        ("41\nmax_connections|f\n", ["work_mem"], 0),
        ("41\nmax_connections|f\n", ["max_connections"], 1),
        ("41\nshared_buffers|t\n", [], 2),
    ],
)
def test_patroni_is_waited_for_only_where_something_waits_for_a_restart(monkeypatch, printed, changed, looks):
    waiting = {"pending_restart": True, "pending_restart_reason": {"shared_buffers": {}, "max_connections": {}}}
    answers = [{"members": [LEADER | waiting, STANDBY]}, {"members": [LEADER | waiting, STANDBY | waiting]}]
    seen = []
    monkeypatch.setattr(info, "output", lambda *command: printed)
    monkeypatch.setattr(info, "look", lambda asked: {"cluster": seen.append(1) or answers[min(len(seen), len(answers)) - 1]})
    monkeypatch.setattr(info.time, "sleep", lambda seconds: None)
    asked = {"name": "db-2", "expect_pending": 60, "changed_parameters": changed}
    info.wait_until_pending(asked, {"cluster": {"members": [LEADER, STANDBY]}})
    assert len(seen) == looks


@pytest.mark.parametrize(
    ("limits", "expected"), [([], 2000), (["max\n"], 2000), ([str(512 * 1048576)], 512), (["9223372036854771712"], 2000)]
)
def test_memory_is_the_lower_of_machine_and_container(limits, expected):
    assert host.memory_mb("MemFree: 1 kB\nMemTotal: 2048000 kB\n", limits) == expected


def test_a_prefix_ends_before_the_next_sibling():
    assert patroni_rest._after("/service/one/") == "/service/one0"
    assert "/service/one/leader" < patroni_rest._after("/service/one/") < "/service/two/"
