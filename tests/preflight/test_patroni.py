"""What role patroni refuses before any host is touched."""

import re
from pathlib import Path

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles/patroni"
TWO = [{"name": "node-1", "address": "192.0.2.1"}, {"name": "node-2", "address": "192.0.2.2"}]
GOOD = {"patroni_members": TWO, "patroni_etcd_members": [{"name": "etcd-1", "address": "192.0.2.9"}], "patroni_etcd_password": "hunter2"}

ROWS = [
    ({"patroni_members": TWO[:1]}, "patroni_members has 1 member; a cluster that fails over needs two"),
    ({"patroni_members": [TWO[0], {"name": "node-1", "address": "192.0.2.3"}]}, "names a member or an address twice"),
    ({"patroni_members": [TWO[0], {"name": "node-3", "address": "192.0.2.1"}]}, "names a member or an address twice"),
    (
        {"patroni_members": [TWO[1], {"name": "node-3", "address": "192.0.2.3"}]},
        "patroni_name is node-1, which is not among patroni_members (node-2, node-3)",
    ),
    ({"patroni_etcd_members": []}, "patroni_etcd_members is empty"),
    ({"patroni_etcd_password": ""}, "patroni_etcd_password is empty"),
    ({"patroni_scope": "a/b"}, "patroni_scope is 'a/b'"),
    ({"patroni_preset": "faster"}, "patroni_preset is faster; choose one of fast, balanced, patient"),
    ({"patroni_dynamic_settings": {"ttl": 10, "retry_timeout": 3}}, "ttl is 10"),
    ({"patroni_dynamic_settings": {"loop_wait": 11}}, "loop_wait 11 + 2 * retry_timeout 5 is more than ttl 20"),
    ({"patroni_preset": "patient", "patroni_dynamic_settings": {"retry_timeout": 26}}, "retry_timeout 26"),
    ({"patroni_client_cidrs": ["10.1.2.3"]}, "patroni_client_cidrs has 10.1.2.3; write a network"),
    ({"patroni_client_cidrs": ["10.1.2.0/33"]}, "patroni_client_cidrs has 10.1.2.0/33"),
    ({"patroni_client_cidrs": ["0.0.0.0/0"]}, "the whole world"),
    ({"patroni_client_cidrs": ["::/0"]}, "the whole world"),
    ({"patroni_pg_hba": ["host all all 10.0.0.0/8 trust"]}, "lets somebody in unasked"),
    ({"patroni_wait_seconds": 1}, "patroni_wait_seconds is 1"),
]


@pytest.mark.parametrize(("variables", "sentence"), ROWS, ids=[sentence for _, sentence in ROWS])
def test_is_refused(refusal, variables, sentence):
    answer = refusal("patroni", GOOD | variables)
    assert answer is not None
    assert any(it in answer for it in sentence.split("|")), answer
    assert "hunter2" not in answer


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"patroni_client_cidrs": ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/64"]},
        {"patroni_members": TWO[:1], "patroni_single_member": True},
        {"patroni_dynamic_settings": {"ttl": 40, "loop_wait": 10, "retry_timeout": 15}},
        {"patroni_synchronous_strict": True},
    ],
)
def test_what_works_is_let_through(refusal, variables):
    assert refusal("patroni", GOOD | variables) is None


def test_the_worst_cases_of_the_readme_are_those_of_the_presets():
    judged = yaml.safe_load((ROLE / "vars/main/judgement.yml").read_text())
    presets, cases = judged["__patroni_presets"], judged["__patroni_worst_cases"]
    expected = {
        name: [cost["ttl"] * it["ttl"] + cost["loop_wait"] * it["loop_wait"] + cost["seconds"] for it in presets.values()]
        for name, cost in cases.items()
    }
    text = (ROLE / "README.md").read_text()
    assert re.search(r"^\| failure \| " + r" \| ".join(presets) + r" \|$", text, flags=re.MULTILINE)
    rows = re.findall(r"^\| ([^|`]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, flags=re.MULTILINE)
    assert {name: [float(it) for it in figures] for name, *figures in rows} == expected


def test_every_preset_keeps_patronis_rule():
    presets = yaml.safe_load((ROLE / "vars/main/judgement.yml").read_text())["__patroni_presets"]
    for it in presets.values():
        assert it["loop_wait"] + 2 * it["retry_timeout"] <= it["ttl"]
        # What primary_stop_timeout (10 s) may use up before the lease ends, and the watchdog's margin.
        assert it["ttl"] - it["loop_wait"] - it["retry_timeout"] >= 10


# A standby waits a while for the storage; a restore, for which no answer were the end of its archive, for good.
ASKED = 'exec $([ ! -f standby.signal ] || echo timeout --foreground 10) pgbackrest --stanza=s archive-get %f "%p"'


@pytest.mark.parametrize(
    ("changed", "command"),
    [
        ({}, "! /usr/local/lib/elephant/wal-at-hand %f 30 2>/dev/null && " + ASKED),
        (
            {"patroni_dynamic_settings": {"ttl": 40}},
            "! /usr/local/lib/elephant/wal-at-hand %f 50 2>/dev/null && " + ASKED,
        ),
        # Without a synchronous standby nobody can tell that all is at hand.
        ({"patroni_dynamic_settings": {"synchronous_mode": False}}, ASKED),
        ({"patroni_pgbackrest_stanza": ""}, None),
    ],
)
def test_the_archive_is_asked_last(rendered, changed, command):
    sent = rendered("patroni", GOOD | {"patroni_pgbackrest_stanza": "s"} | changed, "__patroni_dynamic")
    assert sent["postgresql"].get("recovery_conf", {}).get("restore_command") == command
