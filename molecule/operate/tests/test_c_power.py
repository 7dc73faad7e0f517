"""Every host boots at the same time: the cluster comes back by itself, and nothing is left for Ansible to do."""

import subprocess

import pytest
from living import until


@pytest.mark.parametrize("how", [("restart",), ("kill", "start")], ids=["orderly", "power cut"])
def test_after_a_boot_of_every_host_the_cluster_is_whole(cluster, how):
    rows = "select count(*) from booted"
    cluster.sql(cluster.leader(), "create table if not exists booted (at timestamptz); insert into booted values (now())")
    known = cluster.sql(cluster.leader(), rows)
    for verb in how:
        # One process each, so that it is one moment.
        running = [subprocess.Popen(["docker", verb, cluster.container(host)], stdout=subprocess.DEVNULL) for host in cluster.hosts]
        assert [it.wait() for it in running] == [0] * len(cluster.hosts)
    # etcd remembers what was: members that answer count, not those that are listed.
    query = f"runuser -u postgres -- psql -XAtc '{rows}'"
    until(
        lambda: [cluster.sh(host, query, ok=False) for host in cluster.databases] == [known] * len(cluster.databases), "every row is back"
    )
    cluster.wait_whole()
    # A container's own mounts may fail on a machine with many of them. The watch looks once a minute, so its word is the last to change.
    ours = "systemctl --failed --no-legend --plain | grep -E 'etcd|patroni|elephant|chrony|ssh'"
    for host in cluster.hosts:
        until(lambda host=host: cluster.sh(host, ours, ok=False) == "", f"no unit of ours has failed on {host}")


def test_there_is_nothing_left_to_do(cluster):
    before = cluster.print()
    again = cluster.converge()
    assert (again.status, again.changed) == (0, set()), again.output
    assert cluster.print() == before
