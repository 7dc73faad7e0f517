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

    # From host to host the firewall is shut, and past it, on etcd-1 itself, the other cluster's administrator is nobody.
    own, stranger = "/etc/elephant/certificates/etcd-root", "/run/stranger"
    for kind in ("crt", "key"):
        cluster.sh("etcd-1", f"umask 077; cat > {stranger}.{kind} <<'END'\n{other.sh('other-1', f'cat {own}.{kind}')}\nEND")
    asked = "etcdctl --endpoints=https://{}:2379 --insecure-skip-tls-verify --cert={}.crt --key={}.key --command-timeout=5s get x 2>&1"
    first = cluster.etcd["etcd-1"]
    cluster.sh("etcd-1", asked.format(first, own, own))
    refused = cluster.sh("etcd-1", asked.format(first, stranger, stranger), ok=False)
    assert "error" in refused.lower(), refused
    assert "error" in other.sh("other-1", asked.format(first, own, own), ok=False).lower()
    other.sh("other-1", asked.format(other.etcd["other-1"], own, own))
    cluster.sh("etcd-1", f"rm {stranger}.crt {stranger}.key")

    for host in other.hosts:
        docker("rm", "--force", other.container(host))
    until(cluster.is_whole, "the first cluster is whole")
    assert cluster.print() == before
    again = cluster.converge()
    assert (again.status, again.changed) == (0, set()), again.output
