"""Database nodes come, go and die. Each test leaves a whole cluster of two to the next."""

import base64

from living import SUBNET, docker, sentence, until

THIRD, ADDRESS = "postgresql-3", f"{SUBNET}.23"
REMOVE = "provision/remove_node.yml"


def starts(cluster):
    """When each PostgreSQL began: the proof that none was restarted."""
    return {host: cluster.sql(host, "select pg_postmaster_start_time()") for host in cluster.databases}


def traces(cluster, name, address):
    """Where the cluster still knows of a node; the hosts of its inventory are asked."""
    found = [f"member list of {host}" for host in cluster.databases if name in cluster.sh(host, "patronictl list --format json")]
    slot = f"select count(*) from pg_replication_slots where slot_name = '{name.replace('-', '_')}'"
    found += [f"slot on {host}" for host in cluster.databases if cluster.sql(host, slot) != "0"]
    found += [
        f"pg_hba of {host}" for host in cluster.databases if address in cluster.sql(host, "select address from pg_hba_file_rules").split()
    ]
    look = "grep -rl '{0}' /etc/elephant --include=*.yml --include=*.conf; nft list ruleset | grep '{0}'"
    found += [
        f"files or firewall of {host}" for host in cluster.hosts if cluster.sh(host, look.format(address.replace(".", "[.]")), ok=False)
    ]
    kept = cluster.etcdctl(f"get /service/{cluster.name}/failsafe").get("kvs", [])
    return found + (["failsafe key"] if any(name in base64.b64decode(it["value"]).decode() for it in kept) else [])


def forgotten(cluster, name, address):
    """Nobody knows of the node any more. Patroni takes a loop or two, not the half hour after which it would forget a slot by itself."""
    until(lambda: traces(cluster, name, address) == [], f"nobody knows of {name} ({address})", seconds=120)


def test_a_third_node_is_added(cluster):
    before = starts(cluster)
    cluster.databases[THIRD] = ADDRESS
    added = cluster.converge()
    assert added.status == 0, added.output
    cluster.wait_whole()
    assert sorted(cluster.roles()) == ["postgresql-1", "postgresql-2", THIRD]
    assert {host: at for host, at in starts(cluster).items() if host != THIRD} == before
    assert cluster.sql(THIRD, "select pg_is_in_recovery()") == "t"


def test_what_must_not_go_is_refused(cluster):
    leader = cluster.leader()
    assert "Say which node is removed" in sentence(cluster.run(REMOVE))
    assert "postgresql-9 is unknown" in sentence(cluster.run(REMOVE, "-e", "cluster_removed_node=postgresql-9"))
    assert "playbooks/etcd/replace_member.yml" in sentence(cluster.run(REMOVE, "-e", "cluster_removed_node=etcd-2"))
    assert f"{leader} leads the cluster. Hand the lead over first" in sentence(cluster.run(REMOVE, "-e", f"cluster_removed_node={leader}"))


def test_a_node_is_removed(cluster):
    before = starts(cluster)
    assert traces(cluster, THIRD, ADDRESS), "the judge sees nothing of a node that is there"
    removed = cluster.run(REMOVE, "-e", f"cluster_removed_node={THIRD}")
    assert removed.status == 0, removed.output
    assert "still in the inventory" in " ".join(removed.output.split())
    del cluster.databases[THIRD]
    forgotten(cluster, THIRD, ADDRESS)
    assert cluster.sh(THIRD, "systemctl is-active patroni; systemctl is-enabled patroni", ok=False).split() == ["inactive", "disabled"]
    assert starts(cluster) == {host: at for host, at in before.items() if host != THIRD}
    again = cluster.converge()
    assert (again.status, again.changed) == (0, set()), again.output
    assert "member_slots_ttl" not in cluster.sh(cluster.leader(), "patronictl show-config")


def test_the_last_standby_is_not_removed_unless_that_is_meant(cluster):
    standby = cluster.standby()
    said = sentence(cluster.run(REMOVE, "-e", f"cluster_removed_node={standby}", "-e", "patroni_single_member=true"))
    assert f"Without {standby} the cluster molecule has no standby" in said
    said = sentence(cluster.run(REMOVE, "-e", f"cluster_removed_node={standby}", "-e", "cluster_standby_may_go=true"))
    assert "set patroni_single_member to true" in said
    assert cluster.is_whole()


def test_a_removed_node_is_taken_in_again_and_may_leave_as_the_leader(cluster):
    cluster.databases[THIRD] = ADDRESS
    back = cluster.converge()
    assert back.status == 0, back.output
    cluster.wait_whole()
    leader = cluster.leader()
    gone = cluster.databases[leader]
    removed = cluster.run(REMOVE, "-e", f"cluster_removed_node={leader}", "-e", "cluster_lead_may_move=true")
    assert removed.status == 0, removed.output
    del cluster.databases[leader]
    cluster.wait_whole()
    forgotten(cluster, leader, gone)
    docker("rm", "--force", cluster.container(leader))


def written(cluster):
    """A row that was acknowledged; returns how many there are, for whoever leads later to have them all."""
    leader = cluster.leader()
    cluster.sql(leader, "create table if not exists kept (at timestamptz)")
    cluster.sql(leader, "insert into kept values (clock_timestamp())")
    return cluster.sql(leader, "select count(*) from kept")


def test_a_dead_leader_is_replaced_by_a_blank_host_of_its_name_at_another_address(cluster):
    leader, old, rows = cluster.leader(), cluster.databases[cluster.leader()], written(cluster)
    docker("rm", "--force", cluster.container(leader))
    cluster.databases[leader] = f"{SUBNET}.25"
    cluster.create()
    # At once: whether the standby leads already is not waited for.
    replaced = cluster.converge()
    assert replaced.status == 0, replaced.output
    cluster.wait_whole()
    assert cluster.leader() != leader
    until(lambda: cluster.sql(leader, "select count(*) from kept") == rows, "the new host has every row")
    forgotten(cluster, "nobody-of-this-name", old)


def test_a_dead_node_is_replaced_by_one_of_another_name(cluster):
    standby, address, rows = cluster.standby(), cluster.databases[cluster.standby()], written(cluster)
    docker("rm", "--force", cluster.container(standby))
    del cluster.databases[standby]
    cluster.databases["postgresql-4"] = f"{SUBNET}.24"
    cluster.create()
    replaced = cluster.converge()
    assert replaced.status == 0, replaced.output
    assert f"slot on {cluster.leader()}" in traces(cluster, standby, address)
    removed = cluster.run(REMOVE, "-e", f"cluster_removed_node={standby}")
    assert removed.status == 0, removed.output
    assert "still in the inventory" not in removed.output
    cluster.wait_whole()
    assert sorted(cluster.roles()) == sorted(cluster.databases)
    forgotten(cluster, standby, address)
    until(lambda: cluster.sql("postgresql-4", "select count(*) from kept") == rows, "the new host has every row")


def test_a_dead_etcd_member_is_replaced_by_a_blank_host_at_another_address(cluster):
    before = starts(cluster)
    docker("rm", "--force", cluster.container("etcd-3"))
    cluster.etcd["etcd-3"] = f"{SUBNET}.14"
    cluster.create()
    replaced = cluster.run("etcd/replace_member.yml", "-e", "etcd_replaced_member=etcd-3")
    assert replaced.status == 0, replaced.output
    assert cluster.voters() == set(cluster.etcd)
    told = cluster.converge()
    assert told.status == 0, told.output
    assert starts(cluster) == before
    for host in cluster.databases:
        assert f"{SUBNET}.14:2379" in cluster.sh(host, "cat /etc/elephant/patroni/patroni.yml")
    forgotten(cluster, "nobody-of-this-name", f"{SUBNET}.13")


# As a run that was killed leaves it: out of the cluster, and in again as a learner, which was started and never promoted.
CUT_OFF = """set -e; set -a; . /etc/elephant/etcdctl.env
systemctl stop etcd
export ETCDCTL_ENDPOINTS={others}
etcdctl member remove {member:x}
rm -r /var/lib/etcd/data/member
etcdctl member add etcd-3 --learner --peer-urls={own}
cat /etc/elephant/etcd.yml - > /run/etcd-first-start.yml <<'END'
initial-advertise-peer-urls: {own}
initial-cluster: {peers}
initial-cluster-state: existing
END
systemctl start etcd"""


def test_a_member_whose_joining_was_cut_off_gets_its_vote(cluster):
    peers = {name: f"https://{address}:2380" for name, address in cluster.etcd.items()}
    others = ",".join(f"https://{address}:2379" for name, address in cluster.etcd.items() if name != "etcd-3")
    member = next(it["ID"] for it in cluster.etcdctl("member list")["members"] if it["name"] == "etcd-3")
    given = {"others": others, "member": member, "own": peers["etcd-3"], "peers": ",".join(f"{name}={url}" for name, url in peers.items())}
    cluster.sh("etcd-3", CUT_OFF.format(**given))
    assert cluster.voters() == {"etcd-1", "etcd-2"}
    finished = cluster.converge()
    assert finished.status == 0, finished.output
    assert finished.changed == {("etcd-3", "A member that joined without a vote gets it"), ("etcd-3", "Nothing of the first start is left")}
    assert cluster.voters() == set(cluster.etcd)
