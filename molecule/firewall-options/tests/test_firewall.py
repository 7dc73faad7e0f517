"""Real connections from every kind of neighbour, and nft's own view; made by others than the role."""

import json
import subprocess

import pytest
import testinfra

GUARDED = "10.89.52.11"
# Addresses of the other host: who comes from them.
MEMBER, COLLEAGUE, CLIENT, STRANGER = "10.89.52.12", "10.89.52.40", "10.89.52.70", "10.89.52.200"


@pytest.fixture(scope="module")
def guarded():
    return testinfra.get_host("docker://elephant-firewall-options-guarded")


@pytest.fixture(scope="module")
def other():
    return testinfra.get_host("docker://elephant-firewall-options-member")


def listen(node, *ports):
    """Servers on the ports, behind the firewall or not."""
    for port in ports:
        node.run(f"systemd-run --quiet --collect --unit listen-{port} python3 -m http.server {port}")
        node.check_output(f"timeout 60 sh -c 'until ss -Hltn sport = :{port} | grep -q LISTEN; do :; done'")


# Every address at every port at once; what is dropped is silent, and five seconds of silence are an answer.
TRY = """
import concurrent.futures, json, socket, sys
def reaches(pair):
    try:
        socket.create_connection((sys.argv[1], pair[1]), 5, (pair[0], 0)).close()
        return pair
    except OSError:
        return None
pairs = json.loads(sys.argv[2])
with concurrent.futures.ThreadPoolExecutor(len(pairs)) as pool:
    print(json.dumps([pair for pair in pool.map(reaches, pairs) if pair]))
"""


def table(node, name="inet elephant"):
    return node.check_output(f"nft --stateless list table {name}")


EXPECTED = {
    2222: {COLLEAGUE},
    22: set(),
    5432: {MEMBER, CLIENT},
    8008: {MEMBER},
    9000: set(),
}


def who_gets_in(guarded, other):
    """Who comes through to each port of EXPECTED."""
    listen(guarded, 5432, 8008, 9000)
    pairs = [(source, port) for port in EXPECTED for source in (MEMBER, COLLEAGUE, CLIENT, STRANGER)]
    came = json.loads(other.check_output("python3 -c %s %s %s", TRY, GUARDED, json.dumps(pairs)))
    return {port: {source for source, reached in came if reached == port} for port in EXPECTED}


def test_everybody_reaches_what_is_theirs_and_nothing_else(guarded, other):
    assert who_gets_in(guarded, other) == EXPECTED


def test_datagrams_too(guarded, other):
    for port in (5305, 5311):
        receive = f"import socket; s = socket.socket(2, 2); s.bind(('', {port})); open('/tmp/{port}', 'wb').write(s.recv(9))"
        guarded.check_output(f'systemd-run --quiet --collect --unit udp-{port} python3 -c "{receive}"')
        guarded.check_output(f"timeout 60 sh -c 'until ss -Hlun sport = :{port} | grep -q UNCONN; do :; done'")
        send = f"import socket; s = socket.socket(2, 2); [s.sendto(b'hello', ('{GUARDED}', {port})) for _ in range(5)]"
        other.check_output(f'python3 -c "{send}"')
    guarded.check_output("timeout 60 sh -c 'until [ -s /tmp/5305 ]; do :; done'")
    # Sent after the first, on the same way: had it been let in, it would be there.
    assert guarded.run("systemctl is-active udp-5311").stdout.strip() == "active"
    guarded.check_output("systemctl stop udp-5311")


def test_nft_shows_each_rule_by_its_name(guarded):
    rules = table(guarded)
    assert 'ip6 saddr 2001:db8::/64 udp dport 5300-5310 accept comment "names"' in rules
    assert rules.count('comment "PostgreSQL of members"') == 2
    assert "policy drop" in rules


def test_the_owners_table_is_as_it_was(guarded):
    assert "tcp dport 9 drop" in table(guarded, "inet owner")


def test_an_operator_who_is_locked_out_comes_in_again_by_himself(guarded, other, converge):
    before = table(guarded)
    run = converge("--extra-vars", '{"firewall_admin_cidrs": ["192.0.2.1"], "ansible_timeout": 5}')
    assert run.status != 0 and "UNREACHABLE!" in run.output, run.output
    # After the seconds of the option, with nobody's help.
    guarded.check_output("timeout 120 sh -c 'while nft list table inet elephant | grep -q 192.0.2.1; do :; done'")
    assert table(guarded) == before
    assert "192.0.2.1" not in guarded.file("/etc/elephant/firewall.nft").content_string
    assert who_gets_in(guarded, other) == EXPECTED
    assert converge().changed == set()


def test_exactly_what_drifted_is_repaired(guarded, converge):
    guarded.check_output("nft insert rule inet elephant input tcp dport 9000 accept")
    guarded.check_output("sed -i s/sysinit/multi-user/ /etc/systemd/system/elephant-firewall.service")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {
        ("guarded", "The rules are in force"),
        ("guarded", "The rules let the operator in, and stay"),
        ("guarded", "The unit is in place"),
    }, run.output


def test_a_stopped_unit_and_a_file_that_others_may_write_are_repaired(guarded, converge):
    guarded.check_output("systemctl stop elephant-firewall.service")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {
        ("guarded", "The rules are in force"),
        ("guarded", "The rules let the operator in, and stay"),
        ("guarded", "The rules come with every boot"),
    }, run.output
    guarded.check_output("chmod 0666 /etc/elephant/firewall.nft")
    run = converge()
    assert run.changed == {("guarded", "The rules are in force"), ("guarded", "The rules let the operator in, and stay")}, run.output
    assert guarded.file("/etc/elephant/firewall.nft").mode == 0o600
    assert guarded.service("elephant-firewall.service").is_running
    assert converge().changed == set()


def test_what_debians_own_unit_flushes_is_put_back(guarded, other):
    before = table(guarded)
    for verb in ("restart", "reload", "stop", "start"):
        guarded.check_output(f"systemctl {verb} nftables.service")
        assert table(guarded) == before, verb
    assert who_gets_in(guarded, other) == EXPECTED
    # Only while it is wanted: who stops ours on purpose does not get it back from there.
    guarded.check_output("systemctl stop elephant-firewall.service && systemctl restart nftables.service")
    assert guarded.check_output("nft list tables") == "table inet owner"
    guarded.check_output("systemctl start elephant-firewall.service")
    assert table(guarded) == before


def test_units_that_systemd_has_not_read_are_read(guarded, converge):
    guarded.check_output("touch /etc/systemd/system/nftables.service.d/elephant.conf")
    assert guarded.check_output("systemctl show --value --property=NeedDaemonReload nftables.service") == "yes"
    run = converge()
    assert (run.status, guarded.check_output("systemctl show --value --property=NeedDaemonReload nftables.service")) == (0, "no"), (
        run.output
    )


def test_a_boot_brings_the_rules_back_beside_the_owners(guarded, other):
    before = table(guarded)
    subprocess.run(["docker", "restart", "--time", "5", "elephant-firewall-options-guarded"], check=True, capture_output=True)
    # Until its bus is there, systemd cannot even be asked.
    booted = "until systemctl is-system-running --wait 2>/dev/null | grep -qE 'running|degraded'; do :; done"
    guarded.check_output("timeout 120 bash -c %s", booted)
    assert table(guarded) == before
    assert "tcp dport 9 drop" in table(guarded, "inet owner")
    assert who_gets_in(guarded, other) == EXPECTED
