"""What playbooks/vars/cluster.yml makes of an inventory: who may come in where, and what stays as it is. A host may be in both groups."""

import itertools

import pytest

APART = {"etcd": ["e1", "e2", "e3"], "postgresql": ["p1", "p2"]}
TOGETHER = {"etcd": ["h1", "h2", "h3"], "postgresql": ["h1", "h2"]}


def address(inventory, host):
    return f"192.0.2.{sorted({it for members in inventory.values() for it in members}).index(host) + 1}"


def come_in(mapped, inventory, host, **variables):
    """{port: hosts and networks that may come}."""
    found = {}
    names = {address(inventory, it): it for members in inventory.values() for it in members}
    for rule in mapped("firewall_rules", host, inventory, **variables):
        for port, source in itertools.product(rule["ports"], rule["sources"]):
            found.setdefault(port, set()).add(names.get(source, source))
    return found


CLIENTS = {"cluster_client_cidrs": ["198.51.100.0/24"]}
TO_ETCD = {"2379": {"e1", "e2", "e3", "p1", "p2"}, "2380": {"e1", "e2", "e3"}}
TO_DATABASES = {"5432": {"p1", "p2", "e3", "198.51.100.0/24"}, "8008": {"p1", "p2"}, "8432": {"p1", "p2"}}


@pytest.mark.parametrize(("host", "expected"), [("e1", TO_ETCD), ("p1", TO_DATABASES)])
def test_who_comes_in_where_each_has_a_host_of_its_own(mapped, host, expected):
    """Of the etcd hosts one reaches PostgreSQL: the last, on which a drill's clients run."""
    assert come_in(mapped, APART, host, **CLIENTS) == expected


def test_who_comes_in_where_hosts_are_in_both_groups(mapped, refusal):
    databases, members = {"h1", "h2"}, {"h1", "h2", "h3"}
    etcd = {"2379": members, "2380": members}
    assert come_in(mapped, TOGETHER, "h3", **CLIENTS) == etcd
    both = {"5432": {*databases, "h3", "198.51.100.0/24"}, "8008": databases, "8432": databases}
    assert come_in(mapped, TOGETHER, "h1", **CLIENTS) == etcd | both
    rules = mapped("firewall_rules", "h1", TOGETHER, **CLIENTS)
    assert refusal("firewall", {"firewall_rules": rules, "firewall_admin_cidrs": ["198.51.100.1"]}) is None


@pytest.mark.parametrize(
    ("inventory", "host", "held", "protected"),
    [
        (APART, "e1", {"etcd-*"}, {"etcd.service"}),
        (APART, "p1", {"postgresql-*", "patroni", "pgbackrest"}, {"patroni.service", "pgbackrest-server.service", "postgresql@*.service"}),
        (
            TOGETHER,
            "h1",
            {"etcd-*", "postgresql-*", "patroni", "pgbackrest"},
            {"etcd.service", "patroni.service", "pgbackrest-server.service", "postgresql@*.service"},
        ),
    ],
    ids=["etcd", "postgresql", "both"],
)
def test_what_no_upgrade_touches(mapped, inventory, host, held, protected):
    assert set(mapped("node_held_packages", host, inventory)) == held
    assert set(mapped("node_protected_units", host, inventory)) == protected


def leaves(mapped, **variables):
    return {it["name"] for it in mapped("certificates_leaves", "h1", TOGETHER, **variables)}


def test_the_play_of_a_group_renews_what_is_its_own(mapped):
    """A renewal is told to the services of the play in which it happens: those of etcd would not tell Patroni."""
    etcd, postgresql = leaves(mapped, cluster_job="etcd"), leaves(mapped, cluster_job="postgresql")
    assert etcd == {"etcd", "etcd-root"} and {"patroni", "postgresql"} <= postgresql
    assert not etcd & postgresql and leaves(mapped) == etcd | postgresql
