"""What node_info makes of a host's files: made-up ones, as of a machine that no container is."""

import os
import time

import pytest
from ansible_collections.elephant.ha.plugins.module_utils import units
from ansible_collections.elephant.ha.plugins.modules import node_info

SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
FSTAB = """# /etc/fstab
UUID=1 / ext4 defaults 0 1
/swapfile\tnone\tswap\tsw\t0\t0
# /old none swap sw 0 0

UUID=2 none swap sw 0 0
/swap.img none swap defaults 0 0
"""


@pytest.fixture
def host(tmp_path, monkeypatch):
    """`host("etc/fstab", text)` puts a file into the host's root, which is a folder."""
    monkeypatch.setattr(node_info, "ROOT", tmp_path)

    def put(path, text=""):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    put("proc/swaps", SWAPS)
    return put


def test_a_host_without_swap(host):
    assert node_info.swap() == (0, []) and node_info.swap_mounts() == []


def test_swap_in_a_file_on_a_partition_and_in_fstab(host):
    host("proc/swaps", SWAPS + "/swapfile file\t2097148\t0\t-2\n/dev/vda2 partition\t1048572\t512\t-3\n")
    host("etc/fstab", FSTAB)
    assert node_info.swap() == (3071, ["/swapfile"]), "what is no file is not removed"
    assert node_info.swap_mounts() == ["/swapfile\tnone\tswap\tsw\t0\t0", "UUID=2 none swap sw 0 0", "/swap.img none swap defaults 0 0"]


def test_a_file_that_fstab_names_is_swap_when_it_is_there(host):
    """Switched off, and not removed yet: a run was cut off, or a boot has failed to switch it on."""
    host("etc/fstab", FSTAB)
    host("swap.img")
    assert node_info.swap() == (0, ["/swap.img"])


@pytest.mark.parametrize(
    ("bounding", "may"),
    [("000001ffffffffff", True), ("00000000a80425fb", False), ("0000000002000000", True), ("0000000000000000", False)],
    ids=["a machine", "a container", "that one alone", "none"],
)
def test_who_sets_the_clock(host, bounding, may):
    host("proc/1/status", f"Name:\tsystemd\nCapPrm:\t0000000000000000\nCapBnd:\t{bounding}\nCapAmb:\t0000000000000000\n")
    assert node_info.sets_clock() is may


@pytest.mark.parametrize(
    ("general", "root", "found"),
    [
        ("passwordauthentication no\nkbdinteractiveauthentication no", "passwordauthentication no", []),
        ("passwordauthentication yes\nkbdinteractiveauthentication no", "passwordauthentication yes", ["passwordauthentication yes"]),
        ("passwordauthentication no", "passwordauthentication no\nkbdinteractiveauthentication yes", ["kbdinteractiveauthentication yes"]),
        ("", "", []),
    ],
    ids=["keys only", "everybody", "a Match block for root", "sshd says nothing"],
)
def test_whom_sshd_says_it_lets_in(host, monkeypatch, general, root, found):
    host("usr/sbin/sshd")
    monkeypatch.setattr(node_info, "run", lambda *words: (0, root if "-C" in words else general))
    assert node_info.ssh_passwords() == found


ADDRESSES = "3: enp6s0    inet 10.42.0.21/20 brd 10.42.15.255 scope global enp6s0\\       valid_lft forever preferred_lft forever\n"


@pytest.mark.parametrize(("address", "family"), [("10.42.0.21", "ipv4"), ("fd00:42::21", "ipv6")])
def test_how_the_interface_with_an_address_finds_neighbours_gone(host, monkeypatch, address, family):
    monkeypatch.setattr(node_info, "run", lambda *words: (0, ADDRESSES if words[-1] == address else ""))
    monkeypatch.setattr(units, "state", lambda _unit: {"UnitFileState": "enabled"})
    for file, value in {"base_reachable_time_ms": 30000, "delay_first_probe_time": 5, "retrans_time_ms": 1000}.items():
        host(f"proc/sys/net/{family}/neigh/enp6s0/{file}", f"{value}\n")
    assert node_info.interface("10.42.0.22") == ""
    assert node_info.neighbours(address, node_info.interface(address)) == {
        "reachable": 30000,
        "delay": 5000,
        "repeat": 1000,
        "service": "enabled",
    }


def test_an_address_that_the_host_does_not_have_is_refused(host, monkeypatch):
    monkeypatch.setattr(node_info, "run", lambda *_words: (1, ""))
    monkeypatch.setattr(node_info, "wait_for_cloud_init", lambda _seconds: ("", []))
    said = node_info.glance({"cloud_init_timeout": 1, "address": "10.42.0.22"})
    assert said["failed"] and "No interface of this host has 10.42.0.22" in said["msg"]


def test_without_sshd_nobody_comes_in(host):
    assert node_info.ssh_passwords() == []


@pytest.mark.parametrize(("written", "unread"), [(-30, False), (30, True)], ids=["before the start", "after it"])
def test_whether_chrony_has_read_its_servers(tmp_path, monkeypatch, written, unread):
    began = time.time() - 60
    file = tmp_path / "elephant.sources"
    file.touch()
    os.utime(file, (began + written, began + written))
    monotonic = int((began - time.time() + time.clock_gettime(time.CLOCK_MONOTONIC)) * 1e6)
    now = {"ActiveState": "active", "UnitFileState": "enabled", "ExecMainStartTimestampMonotonic": str(monotonic)}
    monkeypatch.setattr(units, "state", lambda _unit: now)
    said = node_info.time_keeping(str(file))
    assert said == {"time_service": {"active": "active", "enabled": "enabled"}, "time_unread": unread}
    assert node_info.time_keeping(str(tmp_path / "none"))["time_unread"] is False
    monkeypatch.setattr(units, "state", lambda _unit: {"ActiveState": "inactive"})
    assert node_info.time_keeping(str(file)) == {"time_service": {"active": "inactive", "enabled": ""}, "time_unread": False}
