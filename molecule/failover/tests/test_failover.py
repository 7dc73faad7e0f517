"""The cluster through four failures while clients write, then the playbook again, with the lead where it was not before."""

import json
import os

import pytest

# A scenario that runs these tests too may name fewer.
FAULTS = os.environ.get("FAULTS", "postmaster-killed,primary-halted,primary-cut-off,switchover").split(",")


@pytest.fixture(scope="module")
def drilled(drill):
    # Others may load the machine: what counts here is that no row is lost, who leads, and that all come back.
    return drill(",".join(FAULTS), drill_timed=False)


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_drill_is_green(drilled):
    assert drilled.run.status == 0, drilled.run.output[-6000:]
    assert sorted(drilled.cycles()) == sorted(f"{fault}/01" for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_acknowledged_row_is_there(drilled, fault):
    folder = drilled.folder / fault / "01"
    told = [row for file in folder.glob("writer-*.jsonl") for row in lines(file) if row["outcome"] == "ok"]
    for reading in ("rows.jsonl", "rows-again.jsonl"):
        counts = {(row["client"], row["sequence"]): row["count"] for row in lines(folder / reading)}
        assert len(told) > 100
        assert {counts.get((row["client"], row["sequence"])) for row in told} == {1}


@pytest.mark.parametrize("fault", FAULTS)
def test_another_node_took_the_lead_and_the_cluster_was_whole_again(drilled, fault):
    said = drilled.cycles()[f"{fault}/01"]
    assert said["whole"] is not None
    assert said["old_primary"] in ("rewound", "rebuilt", "rejoined")
    acknowledged = [row for file in (drilled.folder / fault / "01").glob("writer-*.jsonl") for row in lines(file) if row["outcome"] == "ok"]
    assert {row["server"] for row in acknowledged} == {"postgresql-1", "postgresql-2"}


def test_nothing_of_the_drill_stays(drilled, hosts):
    for name in ("etcd-1", "etcd-3", "postgresql-1", "postgresql-2"):
        assert hosts.sh(name, "test -e /var/lib/elephant-drill || echo gone") == "gone"
        assert "elephant_drill" not in hosts.sh(name, "nft list tables")
        assert "elephant-drill" not in hosts.sh(name, "systemctl list-units --all --plain --no-legend 'elephant-drill*'")


def test_the_playbook_does_not_care_who_leads(drilled, playbook, converge):
    moved = playbook("patroni/switchover.yml")
    assert moved.status == 0, moved.output
    run = converge()
    assert run.status == 0, run.output
    assert run.changed == set()
