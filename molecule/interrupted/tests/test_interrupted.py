"""A run that is killed leaves nothing that the next one cannot finish: each point below kills the one run after the other."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

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


def family(process: int) -> list[int]:
    """The process and all that descend from it: each of Ansible's workers leads a session of its own, so no group has them all."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout.splitlines()
    pairs = [(int(pid), int(parent)) for pid, parent in map(str.split, listed)]
    found = [process]
    for one in found:
        found += [pid for pid, parent in pairs if parent == one]
    return found


def killed(point: str, seconds: float) -> tuple[bool, str]:
    """Run the playbook until a task whose line has `point` begins, and so many seconds more; whether it got there, and what it said."""
    said = []
    command = ["ansible-playbook", "--inventory", SCENARIO / "inventory/hosts.yml", SCENARIO / "converge.yml"]
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
                # The workers too: nothing of the controller gets a word in.
                for process in family(run.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                return True, "".join(said)
    return False, "".join(said)


@pytest.mark.parametrize(("point", "seconds"), POINTS, ids=[point for point, _ in POINTS])
def test_a_run_gets_as_far_as_the_point_where_it_is_killed(point, seconds):
    there, said = killed(point, seconds)
    assert there, said


def test_the_next_run_finishes_and_the_one_after_it_finds_nothing_to_do(converge, host):
    finished = converge()
    assert finished.status == 0, finished.output
    again = converge()
    assert (again.status, again.changed) == (0, set()), again.output
    # What the killed runs must not have left: a way to form something a second time.
    containers = [
        f"elephant-interrupted-{name}-{number}" for name, count in (("etcd", 3), ("postgresql", 2)) for number in range(1, count + 1)
    ]
    for container in containers:
        left = "ls /etc/elephant/patroni/bootstrap.yml /run/etcd-first-start.yml 2>/dev/null"
        found = subprocess.run(["docker", "exec", container, "sh", "-c", left], capture_output=True, text=True, check=False).stdout
        assert found == "", f"{container}: {found}"
