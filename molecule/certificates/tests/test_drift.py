"""Things go wrong on a host, or time passes; a run puts right exactly that. Run from one host's view, over both."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import testinfra

FOLDER = "/etc/elephant/certificates"
AUTHORITY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "ca"
PKI = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "plugins/module_utils/leaves.py"


@pytest.fixture(scope="module")
def nodes():
    return {name: testinfra.get_host(f"docker://elephant-certificates-{name}") for name in ("node-1", "node-2")}


@pytest.fixture(scope="module")
def pki():
    spec = importlib.util.spec_from_file_location("leaves", PKI)
    sys.modules["leaves"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fingerprints(node):
    return node.check_output(f"sha256sum {FOLDER}/*").splitlines()


def near_its_end(node, pki):
    """The server's certificate as it will be three weeks before its end: same key, same names."""
    csr = node.check_output(f"openssl req -new -key {FOLDER}/server.key -subj /CN=x")
    now = node.check_output(f"cat {FOLDER}/server.crt")
    certificate = pki.x509.load_pem_x509_certificate(now.encode())
    leaf = pki.Leaf("server", pki.common_name(certificate), pki.alternatives(certificate), pki.usages(certificate), "", "", "", "")
    key = pki.serialization.load_pem_private_key((AUTHORITY / "ca.key").read_bytes(), None)
    authority = pki.load_bundle((AUTHORITY / "ca.crt").read_text())[0]
    old = pki.certificate_pem(pki.sign(leaf, csr, authority, key, 21, pki.now()))
    node.check_output(f"cat > {FOLDER}/server.crt <<'END'\n{old}END")


def test_exactly_what_drifted_is_repaired(nodes, pki, converge):
    loose, ending = nodes["node-1"], nodes["node-2"]
    loose.check_output(f"chmod 0644 {FOLDER}/server.key")
    near_its_end(ending, pki)
    assert ending.run("systemctl start elephant-certificates.service").rc != 0
    assert "server.crt" in ending.check_output("journalctl --unit elephant-certificates --no-pager --lines 20")
    before = {name: fingerprints(node) for name, node in nodes.items()}

    run = converge()

    assert run.status == 0, run.output
    assert run.changed == {
        ("node-1", "What is due is known, and has a new key"),
        ("node-2", "What is due is known, and has a new key"),
        ("node-2", "What is due is signed on the controller"),
        ("node-2", "What was signed is in place"),
        ("node-2", "The end of every certificate has been looked at"),
    }, run.output
    assert "server is due: it ends on" in run.output
    assert loose.file(f"{FOLDER}/server.key").mode == 0o600
    assert fingerprints(loose) == before["node-1"]
    changed = {line.split("/")[-1] for line in set(fingerprints(ending)) ^ set(before["node-2"])}
    assert changed == {"server.crt", "server.key"}
    assert not ending.service("elephant-certificates.service").is_running
    assert ending.run("systemctl is-failed elephant-certificates.service").rc != 0


def test_a_lost_authority_is_refused_and_none_is_made(nodes, converge, tmp_path):
    before = {name: fingerprints(node) for name, node in nodes.items()}
    run = converge("--extra-vars", f"certificates_ca_directory={tmp_path}/ca")
    assert run.status != 0
    assert "Bring back the CA's folder" in run.output
    assert not (tmp_path / "ca").exists()
    assert {name: fingerprints(node) for name, node in nodes.items()} == before


def test_another_authority_is_refused(nodes, pki, converge, tmp_path):
    key = pki.new_key()
    (tmp_path / "ca.key").write_bytes(pki.key_pem(key))
    (tmp_path / "ca.crt").write_text(pki.certificate_pem(pki.self_signed("Another CA", key, 3650, pki.now())))
    run = converge("--extra-vars", f"certificates_ca_directory={tmp_path}")
    assert run.status != 0
    assert "Is this the right cluster's folder?" in run.output
    assert run.changed == set()
