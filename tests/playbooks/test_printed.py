"""What the end of a deploy prints, and with which bounds a job runs that a person asks for: rendered with the playbooks' own variables."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

ROOT = Path(__file__).parents[2]
MEMBERS = [{"name": "db-1", "role": "leader", "state": "running"}, {"name": "db-2", "role": "sync_standby", "state": "streaming"}]
NO_BACKUP = "THERE IS NO BACKUP OF THIS CLUSTER: pgbackrest_enabled is false."
WARNING = "Backups are encrypted: without that folder they can never be read again. Keep a copy of it elsewhere."
HOSTS = {name: {"cluster_address": f"192.0.2.{number}"} for number, name in enumerate(("db-1", "db-2"), 1)}
MAGIC: dict[str, Any] = {
    "groups": {"all": list(HOSTS), "postgresql": list(HOSTS), "etcd": []},
    "hostvars": HOSTS,
    "ansible_play_hosts_all": list(HOSTS),
    "cluster_view": {"json": {"members": MEMBERS}},
}


@cache
def loader() -> DataLoader:
    init_plugin_loader([str(ROOT / ".collections")])
    return DataLoader()


def load(name: str) -> Any:
    return loader().load_from_file(str(ROOT / "playbooks" / name), trusted_as_template=True)


def printed(**settings: Any) -> str:
    """The message of the last task, on a cluster with these settings."""
    task = next(it for it in load("tasks/prove.yml") if it["name"] == "How to connect")
    variables = load("vars/cluster.yml") | MAGIC | task["vars"] | settings
    return Templar(loader(), variables=variables).template(task["ansible.builtin.debug"]["msg"])


@pytest.mark.parametrize("off", [False, "false", "no"])
def test_a_cluster_without_backups_is_told_so_in_capitals(off):
    said = printed(pgbackrest_enabled=off).splitlines()
    assert NO_BACKUP in said and WARNING not in said


@pytest.mark.parametrize("settings", [{}, {"pgbackrest_enabled": True}])
def test_one_with_backups_is_told_what_its_folder_is_worth(settings):
    said = printed(**settings)
    assert WARNING in said.splitlines() and "NO BACKUP" not in said
    assert "/elephant/secrets.yml" in said, "the folder that is meant stands above"


def test_one_that_may_lose_rows_is_told_so_in_capitals():
    capitals = "A FAILOVER CAN LOSE ACKNOWLEDGED ROWS: patroni_dynamic_settings turns synchronous_mode off."
    assert capitals in printed(patroni_dynamic_settings={"synchronous_mode": False}).splitlines()
    assert capitals not in printed()


def test_a_job_that_a_person_asks_for_has_the_bounds_of_the_schedules():
    own, asked = load("../roles/pgbackrest/vars/main.yml"), load("vars/bounded.yml")
    assert "MemoryHigh=25%" in own["__pgbackrest_bounds"]
    job = Templar(loader(), variables=asked).template(asked["cluster_bounded_job"])
    assert job == Templar(loader(), variables=own).template(own["__pgbackrest_bounded"])
    assert [it.removeprefix("--property=") for it in job if it.startswith("--property=")] == own["__pgbackrest_bounds"]
    assert job[:3] == ["systemd-run", "--wait", "--pipe"] and job[-2:] == ["python3", "/usr/local/lib/elephant/backup"]


@pytest.mark.parametrize(("playbook", "command"), [("run", "take"), ("verify", "rehearse")])
def test_the_playbooks_run_their_job_that_way(playbook, command):
    (play,) = load(f"backup/{playbook}.yml")
    (argv,) = (it["ansible.builtin.command"]["argv"] for it in play["tasks"] if "ansible.builtin.command" in it)
    variables = load("vars/bounded.yml") | {"backup_type": "full"}
    words = Templar(loader(), variables=variables).template(argv)
    assert words[0] == "systemd-run" and command in words and "../vars/bounded.yml" in play["vars_files"]
