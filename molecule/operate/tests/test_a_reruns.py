"""ha.yml again, on a living cluster to which things have happened: what matches is not touched, not even its times."""

import json
import shutil

import yaml
from living import DATA, docker, sentence, until

STARTED = "The service runs, now and after a boot"


def test_after_a_failover_a_rerun_touches_nothing(cluster):
    old, new = cluster.leader(), cluster.standby()
    docker("kill", cluster.container(old))
    until(lambda: cluster.roles(new).get(new) == "Leader", f"{new} leads")
    docker("start", cluster.container(old))
    cluster.wait_whole()
    assert cluster.leader() == new
    before = cluster.print()
    again = cluster.converge()
    assert (again.status, again.changed) == (0, set()), again.output
    assert cluster.print() == before
    assert cluster.leader() == new
    assert f"The leader is {new}" in again.output


def apart_from_patroni(seen):
    """Without what the leader's own Patroni does when its standby goes and comes: it names another synchronous one, and reloads."""
    hosts = {host: lines for host, lines in seen.items() if isinstance(lines, list)}
    return seen | {host: [it.split("|")[-1] for it in lines if not it.startswith(DATA)] for host, lines in hosts.items()}


def test_a_stopped_standby_is_started_and_nothing_else(cluster):
    standby = cluster.standby()
    others = [host for host in cluster.hosts if host != standby]
    cluster.sh(standby, "systemctl stop patroni")
    before = apart_from_patroni(cluster.print(others))
    files = cluster.sh(standby, "find /etc/elephant -printf '%p %C@ '")
    again = cluster.converge()
    assert (again.status, again.changed) == (0, {(standby, STARTED)}), again.output
    assert apart_from_patroni(cluster.print(others)) == before
    assert cluster.sh(standby, "find /etc/elephant -printf '%p %C@ '") == files


def test_a_dead_host_is_refused_and_without_it_the_others_are_served(cluster):
    standby, leader = cluster.standby(), cluster.leader()
    wider = json.dumps({"cluster_client_cidrs": [f"{cluster.databases[leader]}/32", "198.51.100.0/24"]})
    docker("kill", cluster.container(standby))
    said = sentence(cluster.converge())
    assert f"{standby} does not answer" in said and f"--limit '!{standby}'" in said
    served = cluster.converge("--limit", f"!{standby}", "--extra-vars", wider)
    assert served.status == 0, served.output
    assert f"{standby} took no part" in " ".join(served.output.split())
    # Its place in everybody's lists is kept: it comes back by itself.
    hba = cluster.sh(leader, "cat /etc/elephant/patroni/patroni.yml")
    assert "198.51.100.0/24" in hba and f"replication replicator {cluster.databases[standby]}/32" in hba
    for host in (leader, *cluster.etcd):
        assert cluster.databases[standby] in cluster.sh(host, "nft list ruleset")
    docker("start", cluster.container(standby))
    cluster.wait_whole()
    # The next test's run shows that this one put everything right.
    back = cluster.converge()
    assert back.status == 0, back.output


def test_a_paused_cluster_stays_paused(cluster):
    leader = cluster.leader()
    cluster.sh(leader, "patronictl pause --wait")
    before = cluster.print()
    again = cluster.converge()
    assert (again.status, again.changed) == (0, set()), again.output
    assert "the cluster is paused" in again.output
    assert cluster.print() == before
    assert json.loads(
        cluster.sh(leader, "patronictl show-config | python3 -c 'import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'")
    )["pause"]
    cluster.sh(leader, "patronictl resume --wait")


def test_a_lost_folder_is_refused_and_comes_back_from_the_hosts(cluster, tmp_path):
    before = cluster.print()
    known = yaml.safe_load((cluster.home / "secrets.yml").read_text())
    authority = (cluster.home / "ca/ca.crt").read_text()
    shutil.move(cluster.home / "secrets.yml", tmp_path)
    assert "secrets.yml is gone, but hosts of this cluster run with what it held" in sentence(cluster.converge())
    shutil.move(tmp_path / "secrets.yml", cluster.home)
    shutil.move(cluster.home / "ca", tmp_path)
    assert "their CA is not on the controller" in sentence(cluster.converge())
    assert not (cluster.home / "ca").exists()
    shutil.move(cluster.home, tmp_path / "all")
    assert "secrets.yml is gone" in sentence(cluster.converge())
    assert not cluster.home.exists()
    rescued = cluster.run(
        "cluster/recover_folder.yml", "--extra-vars", json.dumps({"cluster_known_app_password": known["database_app_password"]})
    )
    assert rescued.status == 0, rescued.output
    found = yaml.safe_load((cluster.home / "secrets.yml").read_text())
    # Without backups the passphrase was never anywhere but in the folder.
    assert {**found, "pgbackrest_cipher_passphrase": ""} == {**known, "pgbackrest_cipher_passphrase": ""}
    assert (cluster.home / "ca/ca.crt").read_text() == authority
    assert (cluster.home.stat().st_mode & 0o777, (cluster.home / "secrets.yml").stat().st_mode & 0o777) == (0o700, 0o600)
    again = cluster.converge()
    assert again.status == 0, again.output
    assert {task for _, task in again.changed} == {
        "The controller remembers that the cluster was formed",
        "The cluster that was formed is on record",
    }, again.output
    assert cluster.print() == before
    shutil.copy(tmp_path / "ca/ca.key", cluster.home / "ca/ca.key")
