"""What role patroni refuses before any host is touched."""

import re
from pathlib import Path

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles/patroni"
TWO = [{"name": "node-1", "address": "192.0.2.1"}, {"name": "node-2", "address": "192.0.2.2"}]
ETCD = [{"name": f"etcd-{it}", "address": f"192.0.2.{10 + it}"} for it in (1, 2, 3)]
GOOD = {"patroni_members": TWO, "patroni_etcd_members": [{"name": "etcd-1", "address": "192.0.2.9"}], "patroni_etcd_password": "hunter2"}
USUAL = GOOD | {"patroni_etcd_members": ETCD}

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


def test_the_worst_cases_of_the_readme_are_those_of_the_presets(rendered):
    presets = yaml.safe_load((ROLE / "vars/main/judgement.yml").read_text())["__patroni_presets"]
    each = [rendered("patroni", USUAL | {"patroni_preset": it}, "__patroni_worst_cases") for it in presets]
    text = (ROLE / "README.md").read_text()
    assert re.search(r"^\| failure \| " + r" \| ".join(presets) + r" \|$", text, flags=re.MULTILINE)
    rows = re.findall(r"^\| ([^|`]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, flags=re.MULTILINE)
    assert {name: [float(it) for it in figures] for name, *figures in rows} == {name: [it[name] for it in each] for name in each[0]}


CRASH, HOST = "PostgreSQL crashes", "the primary's host is lost, frozen or cut off"
BOTH = "the primary's host and etcd's leader are lost at once"
STANDBY, PLANNED, STORE = "the synchronous standby is lost", "planned switchover", "etcd is lost"
THREE = [*TWO, {"name": "node-3", "address": "192.0.2.3"}]
ALONE = {"patroni_members": TWO[:1], "patroni_single_member": True}
BACK, OTHER = "until the only member is back", "until the other member is back (patroni_synchronous_strict)"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, {CRASH: "3.5 s", HOST: "25 s", BOTH: "29 s", STANDBY: "6.5 s", PLANNED: "3 s", STORE: "0 s"}),
        ({"patroni_dynamic_settings": {"failsafe_mode": False}}, {STORE: "until etcd is back (failsafe_mode is off)"}),
        ({"patroni_dynamic_settings": {"primary_start_timeout": 300}}, {CRASH: "304.5 s", HOST: "25 s"}),
        # Taken away, it is Patroni's own 300 s.
        ({"patroni_dynamic_settings": {"primary_start_timeout": None}}, {CRASH: "304.5 s"}),
        ({"patroni_parameters": {"wal_sender_timeout": "60s"}}, {STANDBY: "61.5 s"}),
        ({"patroni_parameters": {"wal_sender_timeout": "2min"}}, {STANDBY: "121.5 s"}),
        ({"patroni_parameters": {"wal_sender_timeout": 2500}}, {STANDBY: "4 s"}),
        ({"patroni_parameters": {"wal_sender_timeout": None}}, {STANDBY: "61.5 s"}),
        ({"patroni_parameters": {"wal_sender_timeout": 0}}, {STANDBY: "until its connection breaks (wal_sender_timeout is 0)"}),
        ({"patroni_dynamic_settings": {"synchronous_mode": False}}, {STANDBY: "0 s", HOST: "25 s"}),
        ({"patroni_dynamic_settings": {"synchronous_mode": "quorum"}}, {CRASH: "5.5 s", HOST: "27 s", PLANNED: "5 s"}),
        (ALONE, {CRASH: BACK, HOST: BACK, BOTH: BACK, STANDBY: "0 s", PLANNED: BACK, STORE: "0 s"}),
        ({"patroni_synchronous_strict": True}, {CRASH: OTHER, HOST: OTHER, STANDBY: OTHER, PLANNED: OTHER, STORE: "0 s"}),
        ({"patroni_synchronous_strict": True, "patroni_members": THREE}, {CRASH: "3.5 s", HOST: "25 s", STANDBY: "6.5 s"}),
        ({"patroni_etcd_members": ETCD[:1]}, {BOTH: "until etcd has a majority again (of 1 members none may be lost)", HOST: "25 s"}),
    ],
)  # fmt: skip
def test_the_promise_depends_on_what_decides_it(rendered, variables, said):
    promise = " ".join(rendered("patroni", USUAL | variables, "__patroni_promise").split())
    assert promise.startswith("Preset fast, longest time without a write: ")
    cases = promise.partition(": ")[2].split("; ")
    assert len(cases) == 6
    assert not [f"{name} {cost}" for name, cost in said.items() if f"{name} {cost}" not in cases], promise


def test_a_drill_is_judged_by_what_is_in_force(rendered):
    found = {"ttl": 40, "loop_wait": 2, "failsafe_mode": True, "synchronous_mode": True, "primary_start_timeout": 0}
    cases = rendered("patroni", USUAL, "__patroni_worst_cases", {"__patroni_judged": found})
    assert cases == {CRASH: 4.5, HOST: 45, BOTH: 49, STANDBY: 62.5, PLANNED: 3, STORE: 0}


@pytest.mark.parametrize(
    ("variables", "watchdog", "sentence"),
    [
        ({}, True, ""),
        ({"patroni_preset": "balanced"}, True, ""),
        ({"patroni_preset": "patient"}, True, ""),
        ({"patroni_dynamic_settings": {"retry_timeout": 8}}, False, ""),
        ({"patroni_dynamic_settings": {"retry_timeout": 8}}, True, "(17 s) is more than what it leaves of ttl (15 s)|to 22, or"),
        ({"patroni_dynamic_settings": {"retry_timeout": 8}, "patroni_settings": {"watchdog": {"mode": "off"}}}, True, ""),
        ({"patroni_settings": {"watchdog": {"safety_margin": -1}}}, True, "(11 s) is more than what it leaves of ttl (10 s)"),
    ],
)
def test_a_watchdog_leaves_time_for_a_hiccup_of_etcd(rendered, variables, watchdog, sentence):
    found = {"watchdog": watchdog, "version": "4.0.7-3", "dcs": {"version": "3.5.16"}, "moved": {}, "lives_as": {"version": ""}}
    said = " ".join(rendered("patroni", USUAL | variables, "__patroni_host_refusals", {"__patroni_found": found}))
    assert all(it in said for it in sentence.split("|")) and bool(said) == bool(sentence), said


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


def test_a_cluster_is_not_formed_with_what_is_null(rendered):
    """Patroni takes a null that is there for no change when it is told to take it away."""
    nulls = {"patroni_dynamic_settings": {"maximum_lag_on_failover": None}, "patroni_parameters": {"wal_keep_size": None}}
    formed = rendered("patroni", GOOD | nulls, "__patroni_bootstrap")["bootstrap"]["dcs"]
    assert "maximum_lag_on_failover" not in formed and "wal_keep_size" not in formed["postgresql"]["parameters"]
