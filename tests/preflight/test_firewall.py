"""One row: variables, and what the refusal must say."""

import pytest

RULE = {"name": "postgresql", "ports": ["5432"], "sources": ["192.0.2.0/24", "2001:db8::1"]}
GOOD = {"firewall_admin_cidrs": ["0.0.0.0/0", "::/0"], "firewall_rules": [RULE]}
BAD = [
    ({"firewall_admin_cidrs": []}, "firewall_admin_cidrs is empty, and nobody could log in"),
    ({"firewall_admin_cidrs": ["office"]}, "firewall_admin_cidrs has office; write an address or a network"),
    ({"firewall_admin_cidrs": ["192.0.2.256"]}, "firewall_admin_cidrs has 192.0.2.256"),
    ({"firewall_admin_cidrs": ["192.0.2.0/33"]}, "firewall_admin_cidrs has 192.0.2.0/33"),
    ({"firewall_admin_cidrs": ["192.0.2.0/24 accept; flush ruleset"]}, "write an address or a network"),
    ({"firewall_rules": [RULE, RULE]}, "two have the same name"),
    ({"firewall_rules": [RULE | {"name": 'a" accept'}]}, "use letters, digits, blanks"),
    ({"firewall_rules": [RULE | {"sources": []}]}, "firewall_rules has no sources for postgresql"),
    ({"firewall_rules": [RULE | {"sources": ["db-1"]}]}, "firewall_rules has the source db-1"),
    ({"firewall_rules": [RULE | {"sources": ["0.0.0.0/0"]}]}, "firewall_rules has the source 0.0.0.0/0, the whole world"),
    ({"firewall_rules": [RULE | {"sources": ["::/0"]}]}, "the whole world; name the networks"),
    ({"firewall_rules": [RULE | {"ports": ["0"]}]}, "firewall_rules has the port 0; write 1 to 65535"),
    ({"firewall_rules": [RULE | {"ports": ["65536"]}]}, "firewall_rules has the port 65536"),
    ({"firewall_rules": [RULE | {"ports": ["5432-http"]}]}, "firewall_rules has the port http"),
    ({"firewall_rules": [RULE | {"protocol": "sctp"}]}, "sctp"),
    ({"firewall_ssh_port": 0}, "firewall_ssh_port is 0"),
    ({"firewall_confirm_seconds": 5}, "firewall_confirm_seconds is 5; give 10 to 600"),
]


@pytest.mark.parametrize("more", [{}, {"firewall_rules": []}, {"firewall_rules": [RULE | {"ports": [5432, "6000-6010"]}]}], ids=str)
def test_what_can_work_is_taken(refusal, more):
    assert refusal("firewall", GOOD | more) is None


@pytest.mark.parametrize(("more", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_what_cannot_work_is_refused(refusal, more, sentence):
    assert sentence in refusal("firewall", GOOD | more)


def test_who_administers_must_be_said(refusal):
    assert "firewall_admin_cidrs" in refusal("firewall", {})
