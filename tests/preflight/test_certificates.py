"""One row: variables, and what the refusal must say."""

import pytest

LEAF = {"name": "server", "common_name": "node-1", "subject_alt_names": ["DNS:node-1", "IP:192.0.2.1"], "usages": ["serverAuth"]}
GOOD = {"certificates_ca_directory": "/ca", "certificates_leaves": [LEAF]}
BAD = [
    ({"certificates_ca_directory": ""}, "name the folder on the controller"),
    ({"certificates_directory": "certificates"}, "certificates_directory is certificates; give an absolute path"),
    ({"certificates_directory": "/"}, "certificates_directory is /; give an absolute path"),
    ({"certificates_leaves": [LEAF, LEAF]}, "two have the same name"),
    ({"certificates_leaves": [LEAF | {"name": "../x"}]}, "certificates_leaves has the name ../x; use lower case"),
    ({"certificates_leaves": [LEAF | {"name": "ca"}]}, "the name ca, which is the name of the CA"),
    ({"certificates_leaves": [LEAF | {"common_name": "n" * 65}]}, "give it at most 64 characters"),
    ({"certificates_leaves": [LEAF | {"common_name": "", "subject_alt_names": []}]}, "neither a common_name nor subject_alt_names"),
    ({"certificates_leaves": [LEAF | {"subject_alt_names": ["node-1"]}]}, "the alternative name node-1; write DNS:name or IP:address"),
    ({"certificates_leaves": [LEAF | {"usages": ["codeSigning"]}]}, "codeSigning"),
    ({"certificates_leaves": [LEAF | {"certificate": "x"}]}, "only one of certificate and private_key for server"),
    ({"certificates_leaves": [LEAF | {"private_key": "x"}]}, "only one of certificate and private_key for server"),
    ({"certificates_days": 90}, "certificates_days is 90; give at least 365"),
    ({"certificates_ca_days": 700}, "certificates_ca_days is 700; give more than certificates_days (730)"),
    ({"certificates_renew_before_days": 730}, "certificates_renew_before_days is 730; give less than certificates_days (730)"),
    ({"certificates_warn_days": 90}, "certificates_warn_days is 90; give 1 or more, and less than certificates_renew_before_days (90)"),
    ({"certificates_warn_days": 0}, "certificates_warn_days is 0"),
    ({"certificates_days": "soon"}, "certificates_days"),
]


@pytest.mark.parametrize("more", [{}, {"certificates_days": "800"}, {"certificates_leaves": []}], ids=str)
def test_what_can_work_is_taken(refusal, more):
    assert refusal("certificates", GOOD | more) is None


@pytest.mark.parametrize(("more", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_what_cannot_work_is_refused(refusal, more, sentence):
    assert sentence in refusal("certificates", GOOD | more)


@pytest.mark.parametrize("missing", GOOD)
def test_what_has_no_good_default_is_asked_for(refusal, missing):
    assert missing in refusal("certificates", {name: value for name, value in GOOD.items() if name != missing})
