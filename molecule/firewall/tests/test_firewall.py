"""Real connections, made by others than the role: who gets in, who does not, and what happens to an operator who is locked out."""

import socket
import subprocess
import time

import pytest
import testinfra

FIRST, SECOND = "10.89.12.11", "10.89.12.12"


@pytest.fixture(scope="module")
def nodes():
    return {name: testinfra.get_host(f"docker://elephant-firewall-{name}") for name in ("first", "second")}


def listen(node, port):
    """A server on the port, before the firewall."""
    node.run(f"systemd-run --quiet --collect --unit listen-{port} python3 -m http.server {port}")
    node.check_output(f"timeout 20 sh -c 'until ss -Hltn sport = :{port} | grep -q LISTEN; do :; done'")


def reaches(node, address, port):
    return node.run(f"timeout 2 bash -c '</dev/tcp/{address}/{port}'").rc == 0


def operator_reaches(address, port, seconds=2.0):
    """From the machine that runs Ansible."""
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except OSError:
        return False
    return True


def table(node):
    return node.check_output("nft --stateless list table inet elephant")


def await_ssh(address):
    deadline = time.monotonic() + 120
    while not operator_reaches(address, 22):
        assert time.monotonic() < deadline, f"{address} does not let the operator in again"


def only_who_is_named(nodes):
    for port in (5432, 6000, 7001):
        listen(nodes["first"], port)
    assert reaches(nodes["second"], FIRST, 5432)
    assert reaches(nodes["second"], FIRST, 7001)
    assert not reaches(nodes["second"], FIRST, 6000)
    assert not reaches(nodes["second"], FIRST, 22)
    assert not operator_reaches(FIRST, 5432)
    assert operator_reaches(FIRST, 22)


def test_only_who_is_named_gets_in(nodes):
    only_who_is_named(nodes)


def test_names_and_ping_work_as_before(nodes):
    for node in nodes.values():
        # Docker's resolver is a table of NAT rules and an answer over loopback.
        assert node.check_output("getent hosts elephant-firewall-first").split()[0] == FIRST
        assert node.run(f"ping -c 1 -W 2 {FIRST}").rc == 0 or not node.exists("ping")


def test_rules_by_hand_are_taken_out_again(nodes, converge):
    nodes["first"].check_output("nft add rule inet elephant input tcp dport 6000 accept")
    nodes["first"].check_output("nft 'table inet other { chain input { type filter hook input priority 10; tcp dport 9 drop; }; }'")
    others = nodes["first"].check_output("nft list table inet other")
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == {("first", "The rules are in force"), ("first", "The rules let the operator in, and stay")}, run.output
    assert "dport 6000" not in table(nodes["first"])
    assert nodes["first"].check_output("nft list table inet other") == others


def test_an_operator_who_is_locked_out_comes_in_again(nodes, converge):
    before = {name: table(node) for name, node in nodes.items()}
    rules = '{"firewall_admin_cidrs": ["192.0.2.1"], "firewall_confirm_seconds": 40, "ansible_timeout": 5}'
    run = converge("--extra-vars", rules)
    assert run.status != 0
    assert run.output.count("UNREACHABLE!") == 2, run.output
    for address in (FIRST, SECOND):
        await_ssh(address)
    assert {name: table(node) for name, node in nodes.items()} == before
    assert converge().changed == set()


def test_rules_that_nft_refuses_change_nothing(nodes, converge):
    before = table(nodes["first"])
    run = converge("--limit", "first", "--extra-vars", '{"firewall_admin_cidrs": ["10.89.12.1", "::1.2.3.4.5"]}')
    assert run.status != 0
    assert "nft refuses the rules, nothing was changed" in run.output
    assert table(nodes["first"]) == before


def test_a_boot_brings_the_rules_back(nodes):
    subprocess.run(["docker", "restart", "--time", "5", "elephant-firewall-first"], check=True, capture_output=True)
    nodes["first"].run("systemctl is-system-running --wait")
    await_ssh(FIRST)
    only_who_is_named(nodes)
    nodes["first"].check_output("systemd-analyze verify /etc/systemd/system/elephant-firewall.service")
