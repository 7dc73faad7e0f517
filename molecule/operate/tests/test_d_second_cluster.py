"""A second cluster on the same network, from the same controller: made, run again and removed, it touches nothing of the first."""

from living import SUBNET, Cluster, docker, sentence, until


def test_a_second_cluster_is_a_stranger(cluster, converge, tmp_path):
    before = cluster.print()
    other = Cluster(
        converge,
        tmp_path,
        name="other",
        etcd={"other-1": f"{SUBNET}.31"},
        databases={"other-2": f"{SUBNET}.32"},
        settings={"etcd_single_member": True, "patroni_single_member": True},
    )
    other.create()
    made = other.converge()
    assert made.status == 0, made.output
    assert other.roles() == {"other-2": "Leader"}
    assert cluster.print() == before

    # The first cluster's folder does not let one of its runs near the second one's host, and the other way round.
    cluster.databases["other-2"] = other.databases["other-2"]
    assert "other-2 carries certificates of another CA" in sentence(cluster.converge())
    del cluster.databases["other-2"]
    leader = cluster.leader()
    other.databases[leader] = cluster.databases[leader]
    assert f"{leader} carries certificates of another CA" in sentence(other.converge())
    del other.databases[leader]

    # Past the firewall it would still be nobody: neither etcd nor Patroni's REST knows its CA.
    leaf = "/etc/elephant/certificates/etcd-root"
    identity = f"--cacert=/etc/elephant/certificates/ca.crt --cert={leaf}.crt --key={leaf}.key --command-timeout=3s"
    asked = f"etcdctl --endpoints=https://{{}}:2379 {identity} get x"
    assert "other-1" in other.sh("other-1", f"{asked.format(other.etcd['other-1'])} >/dev/null 2>&1 && hostname")
    assert other.sh("other-1", f"{asked.format(cluster.etcd['etcd-1'])} >/dev/null 2>&1 && hostname", ok=False) == ""

    for host in other.hosts:
        docker("rm", "--force", other.container(host))
    until(cluster.is_whole, "the first cluster is whole")
    assert cluster.print() == before
    again = cluster.converge()
    assert (again.status, again.changed) == (0, set()), again.output
