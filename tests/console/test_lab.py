"""Labs: a bad name is a sentence, and each concept leads to a scenario and to a first thing to try."""

import pytest

from local import lab, suite
from local.say import Refusal


@pytest.mark.parametrize("concept", ["", "postgres", "../etc"])
def test_a_concept_that_is_not_there(concept):
    with pytest.raises(Refusal, match="choose one of replication, etcd, patroni, backup, certificates, firewall: make lab"):
        lab.lab(concept)


@pytest.mark.parametrize("concept", lab.SCENARIOS)
def test_every_concept_has_its_scenario(concept):
    assert lab.scenario_of(concept) in suite.scenarios()
    shell, command = lab.first_thing(concept).splitlines()
    assert shell.startswith(f"docker exec -it elephant-{lab.scenario_of(concept)}-") and command.strip()


def test_the_first_thing_to_try_is_the_first_command_of_the_page():
    shell, command = lab.first_thing("replication").splitlines()
    assert shell.startswith("docker exec -it elephant-replication-db-2 bash") and command.strip() == "pg_lsclusters"


def test_a_lab_is_molecule_converge_and_its_end_is_destroy(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(lab.suite, "provide", lambda containers: None)
    monkeypatch.setattr(lab.suite, "provide_image", lambda scenario: None)
    monkeypatch.setattr(lab.suite, "surroundings", dict)
    monkeypatch.setattr(lab.child, "run", lambda words, *_: ran.append(words))
    monkeypatch.setattr(lab.child, "answer", lambda words: "id\n" if words[-1].endswith("=pgbackrest") else "")
    lab.lab("backup")
    assert "Try first:" in capsys.readouterr().err
    lab.lab_down("")
    assert ran == [["molecule", "converge", "-s", "pgbackrest"], ["molecule", "destroy", "-s", "pgbackrest"]]
