"""A standby comes from the archive, a restore is interrupted where it hurts, a cluster is cloned, all hosts are lost. In this order."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import runbook
import yaml
from cluster import INVENTORY, SCENARIO, backups, docker, keep, leader, machine, members, postgres, rows, sql, until

MEANT = {"restore_confirm": "molecule"}
MARKER = "/var/lib/pgbackrest/elephant-restore.json"
CLONE = SCENARIO / "clone/hosts.yml"
HOSTS = ("db-1", "db-2")
BOOTED = ("running", "degraded")
CONTAINERS = {name: f"elephant-restore-operate-{name}" for name in ("etcd-1", *HOSTS)}


def note(name):
    """The note of a restore on a host, or nothing."""
    done = machine(name).run(f"cat {MARKER}")
    return json.loads(done.stdout) if done.rc == 0 and done.stdout else None


def power_cut():
    """Both database hosts lose power and come back."""
    for name in HOSTS:
        docker("kill", CONTAINERS[name])
    for name in HOSTS:
        docker("start", CONTAINERS[name])
    for name in HOSTS:
        until(f"{name} boots", lambda name=name: machine(name).run("systemctl is-system-running --wait").stdout.strip() in BOOTED, 600)


def test_rows_to_begin_with():
    host = leader()
    keep(host, "kept")
    assert postgres(host, "pgbackrest --stanza=molecule check").rc == 0


def copied_anew(name):
    """A standby loses its data and comes back; answers what its Patroni said meanwhile."""
    host = machine(name)
    began = host.check_output("date +%s")
    host.check_output("systemctl stop patroni && rm -rf /var/lib/postgresql/17/main && systemctl start patroni")
    until("the standby is whole again", lambda: sorted(members(host).values()) == ["Leader", "Sync Standby"], 900)
    wanted = rows(leader())
    until("it has every row", lambda: rows(host) == wanted)
    return host.check_output(f"journalctl --unit patroni --since @{began} --output cat --no-pager")


def test_a_standby_comes_from_the_archive_when_that_has_all_it_needs():
    host = leader()
    (name,) = (it for it in HOSTS if it != host.ansible.get_variables()["inventory_hostname"])
    first = machine(name).check_output("journalctl --unit patroni --output cat --no-pager")
    assert "replica has been created using basebackup" in first and "no repository has a backup yet" in first, first
    # A database that is smaller than the WAL since its backup is better copied from the leader.
    sql(host, "CREATE TABLE large AS SELECT i, repeat(md5(i::text), 30) AS filling FROM generate_series(1, 200000) i")
    assert runbook.follow("A backup now", INVENTORY, backup_type="full").status == 0
    backup = backups(host, "molecule")[-1]
    keep(host, "after the backup")
    assert postgres(host, "pgbackrest --stanza=molecule check").rc == 0
    said = copied_anew(name)
    assert f"this standby is copied from backup {backup['label']}" in said, said
    assert "replica has been created using repository" in said and "created using basebackup" not in said, said
    # With a hole in the archive it would wait for WAL for ever, once the leader has it no more.
    hidden, storage = backup["archive"]["stop"], machine("storage-1")
    assert postgres(host, "pgbackrest --stanza=molecule check").rc == 0
    path = storage.check_output(f"ls /srv/objects/backups/pgbackrest/archive/molecule/*/*/{hidden}-*")
    storage.check_output(f"mv {path} /srv/hidden")
    said = copied_anew(name)
    storage.check_output(f"mv /srv/hidden {path}")
    assert f"{hidden} is not in the archive" in said and "replica has been created using basebackup" in said, said
    sql(host, "DROP TABLE large")


@pytest.mark.parametrize("stage", ["restoring", "recovered"])
def test_interrupted_it_finishes_and_the_old_data_never_leads(playbook, stage):
    host = leader()
    if stage == "restoring":
        sql(host, "SELECT 1")
        keep(host, "before the backup")
        assert runbook.follow("A backup now", INVENTORY, backup_type="full").status == 0
    label = backups(host, "molecule")[-1]["label"]
    node = host.ansible.get_variables()["inventory_hostname"]
    wanted = rows(host)
    keep(host, f"lost with {stage}")
    before = sql(host, "SELECT system_identifier FROM pg_control_system()")
    with runbook.Started("Back to a backup", INVENTORY, restore_label=label, **MEANT) as started:
        until("the stage is reached", lambda: (note(node) or {}).get("stage") == stage or not started.runs, 1200)
        assert started.runs, started.kill()
    power_cut()
    # Once it is recovered, the restored member may be about to start; the others wait until it leads.
    for name in HOSTS if stage == "restoring" else [it for it in HOSTS if it != node]:
        assert machine(name).run("systemctl is-enabled patroni").stdout.strip() == "masked"
        assert not machine(name).run("pgrep -x postgres").stdout, "nobody may serve the old data, or what is half restored"
    refused = playbook("provision/ha.yml")
    assert refused.status != 0 and "A restore of molecule was begun" in " ".join(refused.output.split()), refused.output
    again = runbook.follow("An interrupted restore", INVENTORY)
    assert again.status == 0, again.output
    host = leader()
    assert rows(host) == wanted
    assert sql(host, "SELECT system_identifier FROM pg_control_system()") == before
    assert sorted(members(host).values()) == ["Leader", "Sync Standby"]
    assert note("db-1") is None and note("db-2") is None


def clone_file(tmp_path: Path, **more) -> str:
    """Variables as docs/backup.md shows them."""
    secrets = yaml.safe_load((Path(os.environ["ELEPHANT_HOME"]) / "molecule/secrets.yml").read_text())
    source = {"stanza": "molecule", "latest": True, "cipher_passphrase": secrets["pgbackrest_cipher_passphrase"]} | more
    (tmp_path / "clone.yml").write_text(yaml.safe_dump({"restore_from": source}))
    return str(tmp_path / "clone.yml")


def archive(stanza):
    """Every file of the stanza in the storage, with its time."""
    return machine("storage-1").check_output(f"find /srv/objects/backups/pgbackrest/*/{stanza} -type f -printf '%p %T@\\n' | sort")


def test_a_clone_has_the_rows_and_never_writes_to_the_originals_archive(tmp_path):
    host = leader()
    keep(host, "for the clone")
    sql(host, "CREATE SUBSCRIPTION theirs CONNECTION 'host=nowhere.invalid' PUBLICATION theirs WITH (connect = false)")
    sql(host, "ALTER SUBSCRIPTION theirs ENABLE")
    wanted = rows(host)
    assert postgres(host, "pgbackrest --stanza=molecule check").rc == 0
    # Nothing but the clone could write there now.
    for name in (*(name for name in HOSTS if name != host.ansible.get_variables()["inventory_hostname"]), None):
        (machine(name) if name else host).check_output("systemctl stop patroni")
    untouched = archive("molecule")
    wrong = runbook.follow("A clone", CLONE, {"CLUSTER": "clone"}, file=clone_file(tmp_path, cipher_passphrase="not the passphrase of it"))
    assert wrong.status != 0 and "the passphrase does not open it" in wrong.text, wrong.output
    done = runbook.follow("A clone", CLONE, {"CLUSTER": "clone"}, file=clone_file(tmp_path))
    assert done.status == 0, done.output
    clone = machine("clone-db-1", CLONE)
    assert rows(clone) == wanted
    assert "stanza=clone " in sql(clone, "SHOW archive_command") and "stanza=clone " in sql(clone, "SHOW restore_command")
    assert "molecule" not in clone.check_output("patronictl show-config")
    assert sql(clone, "SELECT subname, subenabled FROM pg_subscription") == "theirs|f"
    keep(clone, "the clones own")
    assert postgres(clone, "pgbackrest --stanza=clone check").rc == 0
    assert backups(clone, "clone") and archive("clone")
    assert archive("molecule") == untouched
    assert not clone.file("/etc/pgbackrest/source.conf").exists
    assert "molecule" not in clone.check_output("cat /var/lib/postgresql/17/main/postgresql.auto.conf | grep -v '^#' || true")


def test_all_hosts_are_lost_and_the_data_comes_back(playbook):
    host = machine("db-1")
    for name in HOSTS:
        machine(name).check_output("systemctl start patroni")
    until("the cluster is back", lambda: "Leader" in members(host).values(), 600)
    host = leader()
    # The page says what to do with subscriptions of a clone; this one's are its own, and go on.
    assert sql(host, "SELECT subenabled FROM pg_subscription") == "t"
    wanted = rows(host)
    known = len(backups(host, "molecule"))
    assert postgres(host, "pgbackrest --stanza=molecule check").rc == 0
    for container in CONTAINERS.values():
        docker("rm", "--force", container)
    shared = runbook.ROOT / "molecule/shared/create.yml"
    for prepared in (shared, runbook.ROOT / "molecule/restore/prepare.yml"):
        subprocess.run(["ansible-playbook", "--inventory", INVENTORY, prepared], check=True, cwd=runbook.ROOT, env=runbook.environment())
    with runbook.Started("All hosts are lost", INVENTORY) as started:
        until("the data is back", lambda: (note("db-1") or {}).get("stage") == "recovered" or not started.runs, 1800)
        assert started.runs, started.kill()
    refused = playbook("provision/ha.yml")
    assert refused.status != 0 and "A restore of molecule was begun" in " ".join(refused.output.split()), refused.output
    done = runbook.follow("All hosts are lost", INVENTORY)
    assert done.status == 0, done.output
    host = leader()
    assert rows(host) == wanted
    assert sorted(members(host).values()) == ["Leader", "Sync Standby"]
    assert len(backups(host, "molecule")) == known + 1
    assert note("db-1") is None and note("db-2") is None
