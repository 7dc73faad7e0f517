"""The drill is refused where it cannot be meant, before any host is asked."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
FAULTS = yaml.safe_load((ROOT / "playbooks/drill/vars/faults.yml").read_text())
FAILURES = yaml.safe_load((ROOT / "roles/patroni/vars/main/judgement.yml").read_text())["__patroni_failures"]


def inventory(etcd: int, postgresql: int) -> str:
    """Hosts that refuse every connection: port 1 of this machine."""
    groups = [("etcd", etcd), ("postgresql", postgresql)]
    lines = ["all:", "  vars: {ansible_host: 127.0.0.1, ansible_port: 1}", "  children:"]
    for group, count in groups:
        lines += [f"    {group}:", "      hosts:"] + [f"        {group}-{it}: {{cluster_address: 192.0.2.{it}}}" for it in range(count)]
    return "\n".join(lines) + "\n"


def said(folder: Path, text: str, *given: str) -> str:
    """What the refused drill says; it leaves nothing behind."""
    (folder / "hosts.yml").write_text(text)
    words = [
        ANSIBLE_PLAYBOOK,
        "--inventory",
        folder / "hosts.yml",
        "playbooks/drill/run.yml",
        *(part for it in given for part in ("-e", it)),
    ]
    environment = os.environ | {"ELEPHANT_HOME": str(folder / "home"), "CLUSTER": "test", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    run = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert run.returncode != 0, run.stdout
    assert not (folder / "home").exists()
    return re.sub(r"\s+", " ", run.stdout + run.stderr)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "if that is meant: -e drill_confirm=test"),
        (["drill_confirm=other"], "drill_confirm is 'other'"),
        (["drill_confirm=test", "drill_select=earthquake"], "drill_select is 'earthquake'"),
        (["drill_confirm=test", "drill_cycles=0"], "drill_cycles 0"),
        (["drill_confirm=test", "drill_select=primary-halted"], "primary-halted needs a cloud that halts and starts hosts"),
    ],
    ids=["not confirmed", "confirmed for another", "unknown fault", "no cycle", "nothing can halt"],
)
def test_a_drill_that_cannot_be_meant(tmp_path, given, sentence):
    assert sentence in said(tmp_path, inventory(3, 2), *given)


def test_the_host_of_the_clients_is_not_halted(tmp_path):
    given = ["drill_confirm=test", "drill_select=primary-and-etcd-leader-halted"]
    assert "would halt etcd-0, where the clients run" in said(tmp_path, inventory(1, 2), *given)


@pytest.mark.parametrize("members", [1, 3])
def test_a_cluster_that_is_no_pair(tmp_path, members):
    assert "a drill needs two database hosts, neither less nor more" in said(tmp_path, inventory(3, members), "drill_confirm=test")


def test_a_host_with_both_jobs(tmp_path):
    both = inventory(3, 2).replace("postgresql-1:", "etcd-1:")
    assert "etcd-1 is in both groups" in said(tmp_path, both, "drill_confirm=test")


@pytest.mark.parametrize("name", FAULTS["drill_faults"])
def test_every_fault_is_whole(name):
    fault = FAULTS["drill_faults"][name]
    assert fault["bound"] == "none" or fault["bound"] in FAILURES
    assert set(fault["hold"]) == {"ttl", "seconds"}
    assert isinstance(fault["moves"], bool)
    assert fault["lasts"] > 0
    program = (ROOT / "playbooks/drill/files/drill/faults.py").read_text()
    assert fault["verb"] in ("halt", "hand-over") or f'"{fault["verb"]}": ' in program


def test_what_can_hurt_is_taken_by_name_only():
    by_name = {name for name, fault in FAULTS["drill_faults"].items() if fault.get("by_name_only")}
    assert by_name == {"etcd-quorum-lost", "disk-full"}
    assert not by_name & {*FAULTS["drill_default_faults"], *FAULTS["drill_quick_faults"]}


@pytest.mark.parametrize(
    "cycle",
    [
        "- ansible.builtin.fail: {msg: no}",
        "- {ansible.builtin.command: 'true', delegate_to: away, register: seen}\n- ansible.builtin.debug: {msg: '{{ seen.stdout }}'}",
    ],
    ids=["a task fails", "a host does not answer"],
)
def test_whatever_ends_a_cycle_everything_is_healed_and_judged(tmp_path, cycle):
    """The playbook's own play about tasks of the test's."""
    play = next(it for it in yaml.safe_load((ROOT / "playbooks/drill/run.yml").read_text()) if it["name"] == "Break and heal")
    del play["vars_files"]
    (tmp_path / "run.yml").write_text(yaml.safe_dump([play | {"vars": {"drill_load_scale": 0, "drill_open_cycles": ["crash/01"]}}]))
    (tmp_path / "tasks").mkdir()
    said = {"remove": "- ansible.builtin.debug: {msg: all healed}", "report": "- ansible.builtin.debug: {msg: a verdict}", "cycle": cycle}
    for name, tasks in said.items():
        (tmp_path / f"tasks/{name}.yml").write_text(f"{tasks}\n")
    hosts = {
        "localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        "away": {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"},
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    words = [ANSIBLE_PLAYBOOK, "--inventory", tmp_path / "hosts.yml", tmp_path / "run.yml"]
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    run = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert run.returncode != 0
    assert "all healed" in run.stdout, run.stdout + run.stderr
    assert "a verdict" in run.stdout, run.stdout + run.stderr


# Stands for the drill's program on each host: the clients' one can leave only when the leader is healed, and a moment after.
LEAVES = """
import pathlib, sys
here = pathlib.Path(__file__).parent
name, verb = here.parent.name, sys.argv[1]
(here.parents[1] / f"{verb}-{name}").touch()
if verb == "heal" and name == "etcd-1":
    sys.exit("one that fails keeps no other from it")
if verb == "leave" and name == "etcd-1":
    if not (here.parents[1] / "heal-db-1").exists() or not (here / "tried").exists():
        (here / "tried").touch()
        sys.exit("nobody takes writes")
if verb == "leave":
    (here.parents[1] / f"left-{name}").touch()
print("{}")
"""


def test_the_cluster_takes_writes_again_before_the_clients_host_is_cleaned(tmp_path):
    hosts = {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    for name in ("etcd-1", "db-1"):
        (tmp_path / name / "program").mkdir(parents=True)
        (tmp_path / name / "program/__main__.py").write_text(LEAVES)
        hosts[name] = hosts["localhost"]
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    given = {
        "drill_halted": [],
        "drill_folder": f"{tmp_path}/{{{{ drill_host }}}}",
        "drill_program": [sys.executable, "{{ drill_folder }}/program/__main__.py"],
        "cluster_etcd_names": ["etcd-1"],
        "cluster_postgresql_names": ["db-1"],
    }
    tasks = [{"ansible.builtin.import_tasks": str(ROOT / "playbooks/drill/tasks/remove.yml")}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": given, "tasks": tasks}]))
    words = [ANSIBLE_PLAYBOOK, "--inventory", tmp_path / "hosts.yml", tmp_path / "play.yml"]
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    run = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert (tmp_path / "left-etcd-1").exists(), run.stdout + run.stderr
    assert (tmp_path / "left-db-1").exists(), run.stdout + run.stderr
