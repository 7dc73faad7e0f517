"""A host moves to another CA only in steps in which everybody trusts everybody; etcd, for one, reads its CA only when it starts."""

from types import SimpleNamespace

import pytest
from ansible_collections.elephant.ha.plugins.module_utils import leaves as pki
from ansible_collections.elephant.ha.plugins.modules import leaf_requests

WANTED = pki.Leaf.of(
    {"name": "server", "common_name": "node-1", "subject_alt_names": ["DNS:node-1"], "usages": ["serverAuth"]}
    | {"owner": "root", "group": "root", "certificate": "", "private_key": ""}
)


def authority(name):
    key = pki.new_key()
    return SimpleNamespace(key=key, certificate=pki.self_signed(name, key, 3650, pki.now()))


OLD, NEW = authority("Old"), authority("New")


def bundle(*authorities):
    return "".join(pki.certificate_pem(each.certificate) for each in authorities)


def due(folder, controllers, hosts, accept=False):
    """What is due on a host whose certificate the old CA signed, and whose ca.crt holds `hosts`."""
    key = pki.new_key()
    certificate = pki.sign(WANTED, pki.request(WANTED, key), OLD.certificate, OLD.key, 730, pki.now())
    (folder / "server.key").write_bytes(pki.key_pem(key))
    (folder / "server.crt").write_text(pki.certificate_pem(certificate))
    (folder / "ca.crt").write_text(hosts)
    params = {"ca_certificate": controllers, "accept_new_authority": accept, "renew_before_days": 90}
    return leaf_requests.judge(params, [WANTED], folder)[0]


def test_first_the_new_one_is_trusted_and_nothing_is_signed(tmp_path):
    assert due(tmp_path, bundle(OLD, NEW), bundle(OLD)) == {"ca": "it is not what the controller has"}


def test_then_it_signs(tmp_path):
    assert set(due(tmp_path, bundle(NEW, OLD), bundle(OLD, NEW))) == {"server", "ca"}


def test_it_never_signs_for_a_host_that_does_not_trust_it(tmp_path):
    with pytest.raises(pki.LeafError, match="put the old CA first"):
        due(tmp_path, bundle(NEW, OLD), bundle(OLD))


def test_the_old_one_leaves_last(tmp_path):
    with pytest.raises(pki.LeafError, match="Is this the right cluster's folder"):
        due(tmp_path, bundle(NEW), bundle(OLD, NEW))


def test_a_cut_can_be_asked_for(tmp_path):
    assert set(due(tmp_path, bundle(NEW, OLD), bundle(OLD), accept=True)) == {"server", "ca"}


def test_a_spoilt_ca_on_the_host_is_put_right(tmp_path):
    assert set(due(tmp_path, bundle(NEW, OLD), "spoilt")) == {"server", "ca"}
