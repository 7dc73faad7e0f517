"""etcd is lost, PostgreSQL lives: no promotion, no restart, no failed write, and the cluster's settings come back. In this order."""

import os
import re
from pathlib import Path

import pytest
from conftest import ETCD, POSTGRESQL, etcdctl, look, patroni, sh, sql, until

DATA = "/var/lib/etcd/data"
# Twenty writes a second on the leader, each on its own connection, as long as the file is there; those that fail are counted.
WRITER = """
touch /run/writing; : > /run/failed
nohup sh -c 'while [ -e /run/writing ]; do
  timeout 60 runuser -u postgres -- psql -XAtqc "insert into written default values" >/dev/null 2>>/run/failed || echo failed >> /run/failed
  sleep 0.05
done' >/dev/null 2>&1 &
"""


def recorded() -> str:
    return (Path(os.environ["ELEPHANT_HOME"]) / "molecule/etcd-molecule.id").read_text().strip()


@pytest.fixture
def writing():
    """A writer on the leader for the length of a test: what it was told of each of its writes is what happened."""
    leader = look().leader
    sql(leader, "create table if not exists written (at timestamptz default clock_timestamp())")
    sh(leader, WRITER)
    until(lambda: int(sql(leader, "select count(*) from written")) > 0)
    yield leader
    sh(leader, "rm -f /run/writing")


def judge_the_writer(leader: str) -> None:
    """It wrote to the last, and nothing failed."""
    before = int(sql(leader, "select count(*) from written"))
    until(lambda: int(sql(leader, "select count(*) from written")) > before)
    assert sh(leader, "cat /run/failed") == ""


def lose(names: tuple[str, ...]) -> None:
    """As if the disks had gone: the process killed, its directory away, the unit free to start what is left."""
    for name in names:
        sh(name, f"systemctl kill --signal=KILL etcd; systemctl stop etcd; rm -r {DATA}; systemctl start etcd")
        # Killed, it may count as failed; the start itself fails no more than a condition does.
        assert sh(name, "systemctl is-active etcd", ok=False) in ("inactive", "failed"), "an empty member began by itself"


def judge_that_patroni_knows(leader: str) -> None:
    """Without this a test could pass because Patroni had not even noticed. With one member left it does not say `cluster_unlocked`."""
    until(lambda: patroni(leader).get("failsafe_mode_is_active") is True)
    assert patroni(leader)["role"] in ("primary", "master")


def judge_that_all_is_back(before, leader: str) -> None:
    until(lambda: sorted(look().roles.values()) == ["Leader", "Sync Standby"])
    assert look() == before, "a promotion, a restart, another timeline, or other settings"
    # The keys themselves, as whoever reads them next finds them.
    keys = sh(ETCD[0], "set -a; . /etc/elephant/etcdctl.env; etcdctl get --prefix --keys-only /service/molecule/").split()
    assert {"config", "failsafe", "initialize", "leader", "sync"} <= {key.rsplit("/", 1)[1] for key in keys}, keys
    (standby,) = set(POSTGRESQL) - {leader}
    assert sql(leader, "select application_name, sync_state from pg_stat_replication") == f"{standby}|sync"
    assert sql(leader, "show synchronous_standby_names").strip('"') == standby
    assert etcdctl("auth status")["enabled"] and set(etcdctl("user list")["users"]) == {"root", "patroni"}
    voters = {it["name"] for it in etcdctl("member list")["members"] if not it.get("isLearner")}
    assert voters == set(ETCD)


def test_all_disks_lost_is_a_rerun_with_the_lost_clusters_name(converge, writing):
    before, lost = look(), recorded()
    lose(ETCD)
    judge_that_patroni_knows(writing)

    refused = converge()
    assert refused.status != 0 and f"run again with -e etcd_lost_cluster={lost}" in re.sub(r"\s+", " ", refused.output), refused.output
    # The directory on the new disk may be made, nothing else.
    assert {task for _, task in refused.changed} <= {"The data directory is there and closed to others"}, refused.output
    assert recorded() == lost and patroni(writing)["role"] in ("primary", "master")

    rebuilt = converge("-e", f"etcd_lost_cluster={lost}")
    assert rebuilt.status == 0, rebuilt.output
    assert {host for host, _ in rebuilt.changed} == set(ETCD), rebuilt.output
    assert recorded() == f"{etcdctl('member list')['header']['cluster_id']:x}" != lost
    judge_that_all_is_back(before, writing)
    judge_the_writer(writing)


def test_two_disks_of_three_lost_is_the_playbook_that_sets_the_third_aside(converge, playbook, writing):
    before, lost = look(), recorded()
    lose(ETCD[:2])
    judge_that_patroni_knows(writing)

    refused = converge("-e", f"etcd_lost_cluster={lost}")
    assert refused.status != 0 and "the majority is gone" in re.sub(r"\s+", " ", refused.output), refused.output
    limited = playbook("etcd/rebuild.yml", "-e", f"etcd_lost_cluster={lost}", "--limit", "etcd-1,etcd-2")
    assert limited.returncode != 0 and "without --limit" in re.sub(r"\s+", " ", limited.stdout), limited.stdout

    rebuilt = playbook("etcd/rebuild.yml", "-e", f"etcd_lost_cluster={lost}")
    assert rebuilt.returncode == 0, rebuilt.stdout
    assert sh("etcd-3", f"ls -d {DATA}.*/member"), "what the third member held was not kept"
    judge_that_all_is_back(before, writing)
    judge_the_writer(writing)


def test_an_etcd_that_patroni_cannot_speak_with_is_refused_before_anything_changes(converge):
    """Debian 13's Patroni is older than 4.1.1; that there is no such archive does not come to light."""
    refused = converge("-e", "etcd_archive=/tmp/etcd-v3.6.14-linux-amd64.tar.gz", "-e", f"etcd_archive_sha256={'0' * 64}")
    sentence = "etcd 3.6.14 (etcd_archive) with authentication needs Patroni 4.1.1 or later, and postgresql-1, postgresql-2 have or get 4."
    assert refused.status != 0 and sentence in re.sub(r"\s+", " ", refused.output), refused.output
    assert refused.changed == set()


def test_the_cluster_still_switches_over_and_a_rerun_changes_nothing(converge, playbook):
    before = look()
    switched = playbook("patroni/switchover.yml")
    assert switched.returncode == 0, switched.stdout
    assert look().leader != before.leader and look().config == before.config
    # The name of a cluster that is gone, left behind in a command, does nothing.
    again = converge("-e", "etcd_lost_cluster=cdf818194e3a8c32")
    assert (again.status, again.changed) == (0, set()), again.output
