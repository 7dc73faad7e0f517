"""Judged by openssl: who signed what, for how long, and who may read it."""

import subprocess


def openssl(*words, stdin=""):
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False, input=stdin)


def subject(host, file):
    return host.check_output(f"openssl x509 -noout -issuer -subject -nameopt RFC2253 -in {file}").splitlines()


def test_the_ca_that_was_made_says_and_lasts_what_was_asked(nodes, tls, authority):
    assert subject(nodes["made"], f"{tls('made')}/ca.crt") == ["issuer=CN=The CA of this test", "subject=CN=The CA of this test"]
    ca = authority("made") / "ca.crt"
    assert openssl("x509", "-noout", "-checkend", 998 * 86400, "-in", ca).returncode == 0
    assert openssl("x509", "-noout", "-checkend", 1001 * 86400, "-in", ca).returncode == 1


def test_the_key_of_the_ca_opens_with_its_passphrase_only(authority):
    key = authority("made") / "ca.key"
    assert "ENCRYPTED" in key.read_text()
    assert openssl("pkey", "-noout", "-in", key, "-passin", "stdin", stdin="p'a\"s\\s $HOME é#\n").returncode == 0
    assert openssl("pkey", "-noout", "-in", key, "-passin", "stdin", stdin="wrong\n").returncode != 0


def test_a_certificate_lasts_what_was_asked_for(nodes, tls):
    for days, outcome in ((499, 0), (501, 1)):
        assert nodes["made"].run(f"openssl x509 -noout -checkend {days * 86400} -in {tls('made')}/server.crt").rc == outcome


def test_owner_and_group_are_those_that_were_asked_for(nodes, tls):
    key = nodes["made"].file(f"{tls('made')}/server.key")
    assert (key.user, key.group, key.mode) == ("www-data", "ssl-cert-readers", 0o600)
    assert nodes["made"].run(f"runuser -u www-data -- openssl pkey -noout -in {tls('made')}/server.key").rc == 0
    assert nodes["made"].run(f"runuser -u nobody -- openssl pkey -noout -in {tls('made')}/server.key").rc != 0


def test_a_ca_of_the_companys_own_signs(nodes, tls, authority):
    folder = tls("signed")
    assert subject(nodes["signed"], f"{folder}/server.crt") == ["issuer=CN=Company CA,O=Company", "subject=CN=signed"]
    # Not strictly: a company's CA may be older than today's rules.
    verify = f"openssl verify -purpose sslserver -verify_ip 10.89.53.12 -CAfile {folder}/ca.crt {folder}/server.crt"
    assert nodes["signed"].run(verify).rc == 0
    assert nodes["signed"].check_output(f"cat {folder}/ca.crt").strip() == (authority("signed") / "ca.crt").read_text().strip()


def test_certificates_of_the_companys_own_are_served_with_what_lies_between(nodes, tls, authority):
    folder, host = tls("supplied"), nodes["supplied"]
    server = (
        f"openssl s_server -accept 127.0.0.1:4433 -www -cert {folder}/server.crt -cert_chain {folder}/server.crt -key {folder}/server.key"
    )
    host.check_output(f"systemd-run --quiet --collect --unit tls-peer {server}")
    host.check_output("timeout 30 sh -c 'until ss -Hltn sport = :4433 | grep -q LISTEN; do :; done'")
    seen = host.run(
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect 127.0.0.1:4433 -quiet -verify_return_error "
        f"-verify_hostname db.company.example -CAfile {folder}/ca.crt"
    )
    host.check_output("systemctl stop tls-peer")
    assert "200 ok" in seen.stdout, seen.stderr
    assert {path.name for path in authority("supplied").iterdir()} == {"ca.crt"}


def test_a_certificate_of_ones_own_is_watched_and_never_renewed(nodes, watch, converge):
    host = nodes["supplied"]
    # It has sixty days, and nobody but the company can renew it: a run would, from ninety on.
    assert watch(host, 25) == 0
    assert watch(host, 35) != 0
    assert "server.crt" in host.check_output("journalctl --unit elephant-certificates --no-pager --lines 20")
    assert converge("--limit", "supplied").changed == set()


def test_the_next_certificate_of_ones_own_replaces_it(nodes, authority, watch, converge):
    company = authority("company")
    words = (
        "-in",
        company / "server.csr",
        "-CA",
        company / "below.crt",
        "-CAkey",
        company / "below.key",
        "-extfile",
        company / "server.ext",
    )
    longer = openssl("x509", "-req", *words, "-days", 400)
    (company / "chain.crt").write_text(longer.stdout + (company / "below.crt").read_text())
    run = converge("--limit", "supplied")
    assert run.status == 0, run.output
    assert "server is due: another one is supplied" in run.output
    assert watch(nodes["supplied"], 35) == 0


def test_a_wrong_passphrase_is_said_and_changes_nothing(nodes, tls, converge):
    nodes["signed"].check_output(f"mv {tls('signed')}/server.crt /root/")
    run = converge("--limit", "signed", "--extra-vars", "certificates_ca_passphrase=another-one")
    nodes["signed"].check_output(f"mv /root/server.crt {tls('signed')}/")
    assert run.status != 0
    assert "certificates_ca_passphrase may be wrong" in run.output
    assert "p'a" not in run.output and "of the company" not in run.output
