"""The CA is changed for another in three runs, as the role's README says; openssl judges after each who convinces whom."""

import json
import shutil
import subprocess

import pytest

PASSPHRASE = "p'a\"s\\s $HOME é#"


@pytest.fixture(scope="module")
def successor(tmp_path_factory):
    """A folder with a new CA, made by openssl, with the passphrase of the old one."""
    folder = tmp_path_factory.mktemp("successor")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-passout", "stdin", "-keyout", folder / "ca.key")
    subject = ("-subj", "/CN=The next CA", "-days", "3650")
    words = ["openssl", "req", "-x509", *key, *subject, "-out", folder / "ca.crt"]
    subprocess.run(words, check=True, capture_output=True, input=f"{PASSPHRASE}\n".encode())
    return folder


def trusts(host, tls, certificate):
    """Whether the host would let in whoever shows `certificate`, a path on the host."""
    return host.run(f"openssl verify -CAfile {tls}/ca.crt {certificate}").rc == 0


def issuer(host, tls):
    return host.check_output(f"openssl x509 -noout -issuer -nameopt RFC2253 -in {tls}/server.crt")


def test_another_ca_takes_over_in_three_runs(nodes, tls, authority, successor, converge):
    host, there, here = nodes["made"], tls("made"), authority("made")
    old, new = (here / "ca.crt").read_text(), (successor / "ca.crt").read_text()
    old_key = shutil.copy(here / "ca.key", successor / "old.key")
    host.check_output(f"cp {there}/server.crt /root/of-the-old.crt")

    def run(key, bundle):
        shutil.copy(key, here / "ca.key")
        (here / "ca.crt").write_text(bundle)
        return converge("--limit", "made")

    refused = run(successor / "ca.key", new + old)
    assert refused.status != 0 and "that this host does not trust yet" in refused.output, "too early, and not refused"
    assert refused.changed == set()

    both = run(old_key, old + new)
    assert both.status == 0 and "server is due" not in both.output, both.output
    assert trusts(host, there, "/root/of-the-old.crt") and trusts(host, there, f"{there}/server.crt")

    renewed = run(successor / "ca.key", new + old)
    assert renewed.status == 0 and "server is due: another CA signed it" in renewed.output, renewed.output
    assert issuer(host, there) == "issuer=CN=The next CA"
    assert trusts(host, there, "/root/of-the-old.crt") and trusts(host, there, f"{there}/server.crt")

    alone = run(successor / "ca.key", new)
    assert alone.status == 0 and "server is due" not in alone.output, alone.output
    assert trusts(host, there, f"{there}/server.crt") and not trusts(host, there, "/root/of-the-old.crt")
    assert converge("--limit", "made").changed == set()


def test_a_cut_over_at_once_must_be_asked_for(nodes, tls, authority, successor, converge):
    folder = {"certificates_ca_directory": str(successor), "certificates_ca_passphrase": PASSPHRASE}
    at_once = {"certificates_accept_new_authority": True}
    before = issuer(nodes["signed"], tls("signed"))

    refused = converge("--limit", "signed", "--extra-vars", json.dumps(folder))
    assert refused.status != 0 and "Is this the right cluster's folder?" in refused.output
    assert refused.changed == set()

    run = converge("--limit", "signed", "--extra-vars", json.dumps(folder | at_once))
    assert run.status == 0, run.output
    assert trusts(nodes["signed"], tls("signed"), f"{tls('signed')}/server.crt")
    assert issuer(nodes["signed"], tls("signed")) == "issuer=CN=The next CA"

    back = converge("--limit", "signed", "--extra-vars", json.dumps(at_once))
    assert back.status == 0, back.output
    assert issuer(nodes["signed"], tls("signed")) == before


def test_exactly_what_drifted_is_repaired(nodes, tls, converge):
    host, folder = nodes["made"], tls("made")
    host.check_output(f"chmod 0640 {folder}/server.key && systemctl disable --now elephant-certificates.timer")
    host.check_output("sed -i s/daily/weekly/ /etc/systemd/system/elephant-certificates.timer")
    nodes["signed"].check_output(f"chown root {tls('signed')}/server.key && rm {tls('signed')}/ca.crt")

    run = converge()

    assert run.status == 0, run.output
    assert run.changed == {
        ("made", "What is due is known, and has a new key"),
        ("made", "The watch is in place"),
        ("made", "The watch runs, now and after a boot"),
        ("signed", "What is due is known, and has a new key"),
        ("signed", "What was signed is in place"),
        ("signed", "The end of every certificate has been looked at"),
    }, run.output
    assert "server is due" not in run.output
    assert host.service("elephant-certificates.timer").is_enabled
    assert converge().changed == set()
