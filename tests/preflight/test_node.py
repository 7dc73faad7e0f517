"""One row: variables, and what the refusal must say."""

import pytest

GOOD = [
    {},
    {"node_held_packages": ["postgresql-*", "libstdc++6"], "node_protected_units": ["postgresql@*.service"]},
    {"node_sysctl": {"net.ipv4.conf.eth0/1.arp_filter": 1, "vm.overcommit_memory": 0}, "node_swap": "keep"},
    {"node_ssh_keys_only": False, "ansible_password": "x"},
    {"node_address": "fd00:42::21"},
]
BAD = [
    ({"node_held_packages": ["Postgres QL"]}, "node_held_packages has Postgres QL; write names of packages"),
    ({"node_held_packages": ["*"]}, "would hold the whole system back"),
    ({"node_protected_units": ["patroni"]}, "node_protected_units has patroni; write names of units that end in .service"),
    ({"node_sysctl": {"swappiness": 1}}, "node_sysctl has swappiness; write names with points"),
    ({"node_sysctl": {"vm.overcommit_memory": 2}}, "set node_strict_overcommit, which computes it"),
    ({"ansible_password": "x"}, "it would lock itself out. Use an SSH key"),
    ({"ansible_ssh_pass": "x"}, "it would lock itself out. Use an SSH key"),
    ({"node_package_index_minutes": -1}, "node_package_index_minutes is -1"),
    ({"node_cloud_init_timeout": 0}, "node_cloud_init_timeout is 0; give at least 1 second"),
    ({"node_address": "db-1"}, "node_address is db-1; write the IP address"),
    ({"node_swap": "off"}, "node_swap"),
]


@pytest.mark.parametrize("variables", GOOD, ids=str)
def test_what_can_work_is_taken(refusal, variables):
    assert refusal("node", variables) is None


@pytest.mark.parametrize(("variables", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_what_cannot_work_is_refused(refusal, variables, sentence):
    assert sentence in refusal("node", variables)


def kept(role_judgement, **found):
    """What is said after the kernel was told vm.nr_hugepages=600, and a range, and has these values."""
    before = {"vm.nr_hugepages": "0", "net.ipv4.ip_local_port_range": "32768 60999"}
    told = {"node_sysctl": {"vm.nr_hugepages": 600, "net.ipv4.ip_local_port_range": "1024\t 65000"}}
    return role_judgement("node", "kernel.yml", told | {"__node_info": {"sysctl": before}, "__node_kernel": {"sysctl": before | found}})


def test_a_setting_that_the_kernel_does_not_keep_is_said(role_judgement):
    whole = {"net.ipv4.ip_local_port_range": "1024 65000"}
    assert kept(role_judgement, **whole, **{"vm.nr_hugepages": "600"}) is None
    said = kept(role_judgement, **whole, **{"vm.nr_hugepages": "412"})
    assert "was told vm.nr_hugepages=600, and kept vm.nr_hugepages=412. Ask for less in node_sysctl" in said
