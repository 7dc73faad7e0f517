"""The rules by which a certificate is made and judged, with the clock moved; files and hosts are Molecule's business."""

import datetime
import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

SOURCE = Path(__file__).parents[1] / "plugins/module_utils/leaves.py"
SPEC = importlib.util.spec_from_file_location("elephant_leaves", SOURCE)
sys.modules["elephant_leaves"] = pki = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pki)

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
CA_KEY = pki.new_key()
CA = pki.self_signed("Test CA", CA_KEY, 3650, NOW)
KEY = pki.new_key()


def leaf(**changed):
    wanted = {"name": "server", "common_name": "node-1", "subject_alt_names": ["DNS:node-1", "IP:192.0.2.1"], "usages": ["serverAuth"]}
    empty = {"owner": "root", "group": "root", "certificate": "", "private_key": ""}
    return pki.Leaf.of(wanted | empty | changed)


def signed(wanted, at=NOW, days=730, key=KEY, authority=CA, authority_key=CA_KEY):
    return pki.sign(wanted, pki.request(wanted, key), authority, authority_key, days, at)


def why(wanted, certificate, at=NOW, key=KEY, authorities=(CA,)):
    return pki.why_due(wanted, certificate, key, list(authorities), at, 90)


def test_a_new_one_is_not_due():
    assert why(leaf(), signed(leaf())) == ""


@given(st.integers(min_value=0, max_value=729))
def test_it_is_due_in_its_last_ninety_days_and_not_before(days):
    assert (why(leaf(), signed(leaf()), at=NOW + days * DAY) != "") == (days > 730 - 90)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"common_name": "node-2"}, "its common name is node-1"),
        ({"subject_alt_names": ["DNS:node-1"]}, "its names are DNS:node-1, IP:192.0.2.1"),
        ({"usages": ["serverAuth", "clientAuth"]}, "its usages are serverAuth"),
    ],
)
def test_it_is_due_when_it_should_say_something_else(changed, said):
    assert why(leaf(**changed), signed(leaf())) == said


def test_spelling_is_no_change():
    assert why(leaf(subject_alt_names=["IP:192.0.2.1", "DNS:NODE-1"]), signed(leaf())) == ""


def test_it_is_due_with_another_key_or_none():
    assert why(leaf(), signed(leaf()), key=pki.new_key()) == "its key is not the certificate's"
    assert why(leaf(), signed(leaf()), key=None) == "its key is not the certificate's"


def test_a_new_authority_before_the_old_one_makes_it_due():
    key = pki.new_key()
    new = pki.self_signed("Test CA", key, 3650, NOW)
    assert why(leaf(), signed(leaf()), authorities=(new, CA)) == "another CA signed it"
    assert why(leaf(), signed(leaf()), authorities=(CA, new)) == ""


def test_it_never_outlives_its_authority_and_then_is_not_made_again_each_day():
    late = NOW + 3600 * DAY
    certificate = signed(leaf(), at=late)
    assert pki.moment(certificate, "after") == pki.moment(CA, "after")
    assert why(leaf(), certificate, at=late) == ""


def test_a_host_cannot_ask_for_anothers_name():
    wanted = leaf()
    certificate = pki.sign(wanted, pki.request(leaf(common_name="root"), KEY), CA, CA_KEY, 730, NOW)
    assert pki.common_name(certificate) == "node-1"


def test_it_holds_an_hour_of_a_slow_clock():
    assert pki.moment(signed(leaf()), "before") == NOW - datetime.timedelta(hours=1)


@pytest.mark.parametrize("name", ["node-1", "IP:node-1", "IP:192.0.2.300", "DNS:", "URI:x"])
def test_a_name_that_is_none_gets_a_sentence(name):
    with pytest.raises(pki.LeafError, match="subject_alt_names has"):
        leaf(subject_alt_names=[name])
