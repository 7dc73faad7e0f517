"""Who leads and what is refused, judged without a host: the cases that must never be decided wrongly."""

from typing import Any

import pytest
from ansible_collections.elephant.ha.plugins.module_utils.replication import plan, promotion
from ansible_collections.elephant.ha.plugins.module_utils.replication_host import SILENT, lost
from ansible_collections.elephant.ha.plugins.modules.replication_info import settled

NAMES = ["db-1", "db-2", "db-3"]


def found(name: str, **changed: Any) -> dict[str, Any]:
    """A member with nothing on it, and whatever is changed of that."""
    blank = {
        "name": name,
        "data": "empty",
        "data_directory": "/data",
        "data_version": "",
        "system": "",
        "timeline": 0,
        "signal": False,
        "answers": False,
        "recovery": False,
        "receiver": None,
        "received": 0,
        "ours": False,
        "configured_data": "",
        "patroni": "",
        "lost": "",
        "others": {},
    }
    return blank | changed


def with_data(name: str, **changed: Any) -> dict[str, Any]:
    return found(name, **({"data": "cluster", "data_version": "17", "system": "7", "timeline": 1, "ours": True} | changed))


def primary(name: str, **changed: Any) -> dict[str, Any]:
    return with_data(name, answers=True, **changed)


def standby(name: str, **changed: Any) -> dict[str, Any]:
    return with_data(name, **({"answers": True, "recovery": True, "signal": True, "receiver": {"status": "streaming"}} | changed))


def test_blank_hosts_form_at_the_first_and_the_others_copy():
    made = plan([found(it) for it in NAMES], NAMES)
    assert (made["primary"], made["forms"], made["refusals"]) == ("db-1", True, [])
    assert made["actions"] == {"db-1": "form", "db-2": "copy", "db-3": "copy"}


def test_blank_hosts_form_where_the_variables_say():
    assert plan([found(it) for it in NAMES], NAMES, wanted="db-2")["actions"]["db-2"] == "form"


def test_nothing_is_formed_while_a_member_is_silent():
    made = plan([found("db-1"), found("db-2")], NAMES)
    assert made["primary"] == "" and "db-3 cannot be asked for data" in made["refusals"][0]


def test_whoever_leads_stays_when_the_variables_name_nobody():
    made = plan([standby("db-1"), primary("db-2"), standby("db-3")], NAMES)
    assert (made["primary"], made["refusals"]) == ("db-2", [])
    assert made["actions"] == {"db-1": "follow", "db-2": "lead", "db-3": "follow"}


def test_swapped_roles_are_refused_with_the_command():
    (sentence,) = plan([primary("db-1"), standby("db-2")], NAMES[:2], wanted="db-2")["refusals"]
    assert "db-1 is the primary" in sentence and "-e replication_primary=db-2 -e replication_handover=true" in sentence


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"patroni": "patroni.service runs"}, "db-2 is managed by Patroni (patroni.service runs)"),
        ({"data": "foreign"}, "db-2 has files in /data that are not PostgreSQL's"),
        ({"data": "cluster", "data_version": "16", "ours": True}, "db-2 has data of PostgreSQL 16"),
        ({"data": "cluster", "data_version": "17", "system": "9"}, "that this role did not make"),
        ({"configured_data": "/elsewhere"}, "whose data is in /elsewhere"),
    ],
)
def test_what_is_not_ours_is_refused(changed, sentence):
    assert sentence in plan([primary("db-1"), found("db-2", **changed)], NAMES[:2])["refusals"][0]


def test_a_stopped_primary_is_started_only_when_everybody_can_say_that_nobody_was_promoted():
    alone = with_data("db-1")
    assert plan([alone, standby("db-2")], NAMES[:2])["actions"] == {"db-1": "lead", "db-2": "follow"}
    assert "may have been promoted since" in plan([alone], NAMES[:2])["refusals"][0]


def test_a_stopped_former_primary_is_reported_and_left():
    made = plan([with_data("db-1"), primary("db-2", timeline=2)], NAMES[:2])
    assert made["refusals"] == [] and made["actions"]["db-1"] == "leave"
    assert "rebuild.yml -e replication_member=db-1" in made["reports"]["db-1"]


def test_of_two_stopped_primaries_the_newer_timeline_leads_and_a_tie_is_refused():
    assert plan([with_data("db-1"), with_data("db-2", timeline=2)], NAMES[:2])["primary"] == "db-2"
    assert "both primaries on timeline 1" in plan([with_data("db-1"), with_data("db-2")], NAMES[:2])["refusals"][0]


def test_two_primaries_are_refused_and_the_newer_is_kept():
    (sentence,) = plan([primary("db-1"), primary("db-2", timeline=2)], NAMES[:2])["refusals"]
    assert "-e replication_member=db-1 -e replication_primary=db-2" in sentence


def test_a_primary_outside_the_run_is_heard_through_its_standby():
    heard = {"db-1": {"answers": True, "recovery": False, "system": "7", "timeline": 1}}
    made = plan([standby("db-2", others=heard)], NAMES[:2])
    assert (made["primary"], made["refusals"], made["actions"]["db-2"]) == ("db-1", [], "follow")


def test_the_member_that_leaves_has_no_say():
    assert plan([primary("db-1"), primary("db-2", timeline=2)], NAMES[:2], wanted="db-2", leaving="db-1")["primary"] == "db-2"


def test_another_database_and_lost_wal_are_reported():
    made = plan([primary("db-1"), standby("db-2", system="8"), standby("db-3", lost="WAL that it needs is gone")], NAMES)
    assert "another database" in made["reports"]["db-2"] and "WAL that it needs is gone" in made["reports"]["db-3"]


def test_a_chain_follows_its_links_and_never_itself():
    upstreams = {"db-3": "db-2"}
    assert plan([primary("db-1"), standby("db-2"), standby("db-3")], NAMES, upstreams=upstreams)["upstreams"] == {
        "db-2": "db-1",
        "db-3": "db-2",
    }
    turned = plan([standby("db-1"), standby("db-2"), primary("db-3")], NAMES, upstreams=upstreams)["upstreams"]
    assert turned == {"db-1": "db-3", "db-2": "db-3"}
    assert plan([primary("db-1"), standby("db-2"), standby("db-3")], NAMES, upstreams={"db-2": "db-3", "db-3": "db-2"})["upstreams"] == {
        "db-2": "db-1",
        "db-3": "db-1",
    }


def judged(
    findings: list[dict[str, Any]], candidate: str, handover: bool = False, accept_loss: bool = False, delayed: tuple[str, ...] = ()
):
    return promotion(findings, NAMES, candidate, handover, accept_loss, list(delayed))


def test_nobody_is_promoted_beside_a_primary_that_answers():
    pair = [primary("db-1"), standby("db-2")]
    assert "db-1 still answers" in judged(pair, "db-2")["refusal"]
    assert judged(pair, "db-2", handover=True) == {"refusal": "", "old": "db-1", "needed": True}
    outside = [standby("db-2", others={"db-1": {"answers": True, "recovery": False}})]
    assert "db-1 still answers" in judged(outside, "db-2")["refusal"]
    assert "cannot be reached to be stopped" in judged(outside, "db-2", handover=True)["refusal"]


def test_a_handover_needs_a_standby_that_streams():
    assert "does not stream" in judged([primary("db-1"), standby("db-2", receiver=None)], "db-2", handover=True)["refusal"]


def test_only_a_running_standby_is_promoted():
    assert "no running standby" in judged([with_data("db-1"), standby("db-2")], "db-1")["refusal"]
    assert "no running standby" in judged([standby("db-2")], "")["refusal"]


def test_the_standby_that_has_less_is_not_promoted():
    both = [standby("db-2", received=100), standby("db-3", received=160)]
    assert "60 bytes of WAL more" in judged(both, "db-2")["refusal"]
    assert judged(both, "db-3")["refusal"] == "" == judged(both, "db-2", accept_loss=True)["refusal"]
    assert judged(both, "db-2", delayed=("db-3",))["refusal"] == ""
    assert "replays with a delay" in judged(both, "db-3", delayed=("db-3",))["refusal"]


def test_where_patroni_manages_nobody_else_promotes():
    assert "managed by Patroni" in judged([with_data("db-1"), standby("db-2", patroni="patroni.service runs")], "db-2")["refusal"]


def test_a_promotion_that_was_made_is_not_made_again():
    assert judged([primary("db-2"), standby("db-3")], "db-2") == {"refusal": "", "old": "", "needed": False}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"receiver": {"status": "streaming", "sender": "192.0.2.21"}}, True),
        ({"receiver": {"status": "streaming", "sender": "192.0.2.22"}}, False),
        ({"receiver": None}, False),
        ({"receiver": None, "delayed": True}, True),
        ({"receiver": {"status": "waiting", "sender": "192.0.2.21"}, "delayed": True}, True),
        ({"receiver": None, "delayed": True, "answers": False}, False),
    ],
)
def test_a_standby_is_waited_for_until_it_streams_unless_it_is_in_its_delay(changed, expected):
    assert settled({**SILENT, "answers": True, "recovery": True, **changed}, "192.0.2.21") is expected


def test_a_standby_in_its_delay_is_not_lost_whatever_its_log_said_before(monkeypatch):
    words = ["FATAL:  requested WAL segment 000000010000000000000003 has already been removed"]
    monkeypatch.setattr("ansible_collections.elephant.ha.plugins.module_utils.replication_host.log_tail", lambda: words)
    standby_alone = {**SILENT, "answers": True, "recovery": True}
    assert lost(standby_alone) == "WAL that it needs is gone"
    assert lost(standby_alone | {"delayed": True}) == ""
