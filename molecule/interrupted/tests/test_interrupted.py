"""A run that is killed leaves nothing that the next one cannot finish: each point below kills the one run after the other.

First runs that make the cluster, then runs that change the living one. When exactly a task is hit is chance; that it was begun is not.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from processes import kill_family

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
# As the tasks are printed, in the order of the run; and the seconds that a task is let run before the kill.
POINTS = [
    ("Secrets are made and kept in the cluster's folder", 0.5),
    ("elephant.ha.etcd : The packages are installed", 4),
    ("elephant.ha.certificates : What is due is signed on the controller", 1),
    ("elephant.ha.etcd : The member starts with its peers", 0.3),
    ("elephant.ha.etcd : Authentication is on, and the users are as declared", 1),
    ("elephant.ha.patroni : The first member may make the database", 1),
    ("elephant.ha.patroni : The service runs, now and after a boot", 2),
    ("elephant.ha.patroni : The member has its place in the cluster", 1),
    ("elephant.ha.databases : Users and databases are as they should be", 0.5),
]
# A living cluster that gets another network of clients and another setting.
CHANGE = json.dumps({"cluster_client_cidrs": ["10.89.60.0/24", "198.51.100.0/24"], "patroni_parameters": {"work_mem": "5MB"}})
LIVING = [
    ("elephant.ha.firewall : The rules are in force", 1),
    # Written, and not yet read by Patroni.
    ("elephant.ha.patroni : The member's way into etcd is in place", 0.5),
    ("elephant.ha.patroni : The cluster's settings are those of the variables", 0.5),
]
# The packages are there and nothing of Patroni's own: what a check would do next is there to be named, and not to be found.
CHECKED = "elephant.ha.certificates : What is due is signed on the controller"
DATABASES = ("postgresql-1", "postgresql-2")
HOSTS = ("etcd-1", "etcd-2", "etcd-3", *DATABASES)


def sh(host: str, command: str) -> str:
    """What a shell on a host prints, whatever its status."""
    done = subprocess.run(
        ["docker", "exec", f"elephant-interrupted-{host}", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def sql(host: str, query: str) -> str:
    """The answer of a host's own PostgreSQL."""
    return sh(host, f'runuser -u postgres -- psql -XAtqc "{query}"')


def killed(point: str, seconds: float, *arguments: str) -> tuple[bool, str]:
    """Run the playbook until a task whose line has `point` begins, and so many seconds more; whether it got there, and what it said."""
    said = []
    command = ["ansible-playbook", "--inventory", SCENARIO / "inventory/hosts.yml", SCENARIO / "converge.yml", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
        env=os.environ | {"ANSIBLE_NOCOLOR": "1", "PYTHONUNBUFFERED": "1"},
    ) as run:
        for line in run.stdout:
            said.append(line)
            if line.startswith("TASK [") and point in line:
                time.sleep(seconds)
                kill_family(run.pid)
                return True, "".join(said)
    return False, "".join(said)


@pytest.mark.parametrize(("point", "seconds"), POINTS, ids=[point for point, _ in POINTS])
def test_a_run_gets_as_far_as_the_point_where_it_is_killed(converge, point, seconds):
    there, said = killed(point, seconds)
    assert there, said
    if point == CHECKED:
        checked = converge("--check")
        assert checked.status == 0, checked.output


def test_the_next_run_finishes_and_the_one_after_it_finds_nothing_to_do(converge):
    finished = converge()
    assert finished.status == 0, finished.output
    again = converge()
    assert (again.status, again.changed) == (0, set()), again.output
    # What the killed runs must not have left: a way to form something a second time.
    for host in HOSTS:
        assert sh(host, "ls /etc/elephant/patroni/bootstrap.yml /run/etcd-first-start.yml 2>/dev/null") == "", host


@pytest.fixture(scope="module")
def lived() -> dict[str, str]:
    """When each PostgreSQL began, and how many rows there are before anything is changed."""
    leader = next(host for host in DATABASES if sql(host, "select pg_is_in_recovery()") == "f")
    sql(leader, "create table if not exists kept (at timestamptz); insert into kept values (now())")
    rows = sql(leader, "select count(*) from kept")
    assert int(rows) > 0
    return {"rows": rows} | {host: sql(host, "select pg_postmaster_start_time()") for host in DATABASES}


@pytest.mark.parametrize(("point", "seconds"), LIVING, ids=[point for point, _ in LIVING])
def test_a_run_that_changes_the_cluster_is_killed_too(lived, point, seconds):
    there, said = killed(point, seconds, "--extra-vars", CHANGE)
    assert there, said


def test_the_change_is_finished_by_the_next_run_and_nothing_was_lost(converge, lived):
    finished = converge("--extra-vars", CHANGE)
    assert finished.status == 0, finished.output
    # What Patroni has not read would be read by this one, and said.
    again = converge("--extra-vars", CHANGE)
    assert (again.status, again.changed) == (0, set()), again.output
    for host in DATABASES:
        assert sql(host, "show work_mem") == "5MB"
        assert "198.51.100.0" in sql(host, "select address from pg_hba_file_rules").split()
        assert "198.51.100.0/24" in sh(host, "nft list ruleset")
        assert sql(host, "select pg_postmaster_start_time()") == lived[host]
        assert sql(host, "select count(*) from kept") == lived["rows"]
