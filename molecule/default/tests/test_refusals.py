"""What would harm a living cluster is refused with a sentence, before any host is changed."""

import os
import re
from pathlib import Path


def sentence(run) -> str:
    """What a refusal says, on one line: Ansible folds it. Fails when the run went through or changed a host."""
    assert run.status != 0, run.output
    assert set(re.findall(r"changed=(\d+)", run.output)) == {"0"}, run.output
    return re.sub(r"\s+", " ", run.output)


def test_a_database_host_that_does_not_answer(converge, tmp_path):
    (tmp_path / "gone.yml").write_text("all: {hosts: {postgresql-2: {ansible_host: elephant-default-nobody}}}\n")
    said = sentence(converge("--inventory", tmp_path / "gone.yml"))
    assert "postgresql-2 does not answer" in said
    assert "--limit '!postgresql-2'" in said


def test_a_folder_that_is_lost_while_the_cluster_lives(converge, tmp_path):
    said = sentence(converge(ELEPHANT_HOME=str(tmp_path)))
    assert "secrets.yml is gone, but hosts of this cluster run with what it held" in said
    assert not list(tmp_path.iterdir())


def test_users_alone_are_not_given_passwords_of_another_folder(converge, tmp_path):
    playbook = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "playbooks/databases/configure.yml"
    said = sentence(converge(playbook=playbook, ELEPHANT_HOME=str(tmp_path)))
    assert "secrets.yml is gone, but hosts of this cluster run with what it held" in said
    # With the folder of the cluster it finds everything as it should be.
    run = converge(playbook=playbook)
    assert (run.status, run.changed) == (0, set()), run.output
