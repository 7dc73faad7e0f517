"""Judged by openssl: what a certificate says, whom it convinces, and when it ends."""

import os
from pathlib import Path

FOLDER = "/etc/elephant/certificates"
AUTHORITY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "ca"


def text(host, leaf):
    return host.check_output(f"openssl x509 -noout -text -in {FOLDER}/{leaf}.crt")


def test_server_convinces_as_a_server_only(host):
    verify = f"openssl verify -x509_strict -CAfile {FOLDER}/ca.crt"
    assert host.run(f"{verify} -purpose sslserver {FOLDER}/server.crt").rc == 0
    assert host.run(f"{verify} -purpose sslclient {FOLDER}/server.crt").rc != 0
    assert host.run(f"{verify} -purpose sslclient {FOLDER}/client.crt").rc == 0
    assert host.run(f"{verify} -purpose sslserver {FOLDER}/client.crt").rc != 0


def test_names_are_the_hosts_own(host):
    variables = host.ansible.get_variables()
    name, address = variables["inventory_hostname"], variables["cluster_address"]
    for option in (f"-verify_hostname {name}", "-verify_hostname localhost", f"-verify_ip {address}", "-verify_ip 127.0.0.1"):
        assert host.run(f"openssl verify -CAfile {FOLDER}/ca.crt {option} {FOLDER}/server.crt").rc == 0, option
    assert host.run(f"openssl verify -CAfile {FOLDER}/ca.crt -verify_hostname other {FOLDER}/server.crt").rc != 0
    assert "CN = reader" in text(host, "client") or "CN=reader" in text(host, "client")


def test_lasts_more_than_a_year_on_a_modern_curve(host):
    assert host.run(f"openssl x509 -noout -checkend {365 * 86400} -in {FOLDER}/server.crt").rc == 0
    assert "ASN1 OID: prime256v1" in text(host, "server")
    assert "CA:FALSE" in text(host, "server")


def test_keys_are_their_owners_alone_and_made_here(host):
    for leaf, owner in (("server", "www-data"), ("client", "root")):
        key = host.file(f"{FOLDER}/{leaf}.key")
        assert (key.user, key.group, key.mode) == (owner, owner, 0o600)
    assert sorted(host.file(FOLDER).listdir()) == ["ca.crt", "client.crt", "client.key", "server.crt", "server.key"]
    assert {path.name for path in AUTHORITY.iterdir()} == {"ca.crt", "ca.key"}
    assert AUTHORITY.stat().st_mode & 0o777 == 0o700
    assert (AUTHORITY / "ca.key").stat().st_mode & 0o777 == 0o600


def test_both_sides_of_a_connection_are_convinced(host):
    address = host.ansible.get_variables()["cluster_address"]
    server = f"openssl s_server -accept {address}:4433 -naccept 1 -www -tls1_3 -Verify 1 -verify_return_error"
    host.check_output(
        f"systemd-run --quiet --collect --unit tls-peer {server} -CAfile {FOLDER}/ca.crt -cert {FOLDER}/server.crt -key {FOLDER}/server.key"
    )
    host.check_output("timeout 60 sh -c 'until ss -Hltn sport = :4433 | grep -q LISTEN; do sleep 0.1; done'")
    seen = host.run(
        f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect {address}:4433 -verify_ip {address} -verify_return_error -quiet "
        f"-CAfile {FOLDER}/ca.crt -cert {FOLDER}/client.crt -key {FOLDER}/client.key"
    )
    assert "200 ok" in seen.stdout, seen.stderr


def test_the_watch_is_content_and_comes_back_after_a_boot(host):
    assert host.service("elephant-certificates.timer").is_running
    assert host.service("elephant-certificates.timer").is_enabled
    assert host.run("systemctl start elephant-certificates.service").rc == 0
    host.check_output("systemd-analyze verify /etc/systemd/system/elephant-certificates.service")
