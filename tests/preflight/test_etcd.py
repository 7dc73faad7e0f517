"""What role etcd refuses from its variables alone, and the sentence that it says."""

import pytest

THREE = [{"name": f"etcd-{it}", "address": f"192.0.2.3{it}"} for it in (1, 2, 3)]
USER = {"name": "patroni", "password": "secret", "prefix": "/service/elephant/"}
GOOD = {"inventory_hostname": "etcd-1", "etcd_members": THREE, "etcd_users": [USER]}

REFUSED = {
    "even": (
        {"etcd_members": [*THREE, {"name": "etcd-4", "address": "192.0.2.34"}]},
        "etcd_members has 4 members",
    ),
    "none": ({"etcd_members": []}, "etcd_members has 0 members"),
    "one": ({"etcd_members": THREE[:1]}, "set etcd_single_member to true for a lab"),
    "one name twice": (
        {"etcd_members": [*THREE[:2], THREE[0] | {"address": "192.0.2.39"}]},
        "names a member twice (etcd-1, ",
    ),
    "one address twice": ({"etcd_members": [*THREE[:2], THREE[0] | {"name": "etcd-3"}]}, "has an address twice"),
    "no address": ({"etcd_members": [*THREE[:2], {"name": "etcd-3", "address": "etcd-3.example"}]}, "not IPv4 (etcd-3.example)"),
    "a stranger": ({"inventory_hostname": "db-1"}, "etcd_name is db-1, which is not among etcd_members (etcd-1, etcd-2, etcd-3)"),
    "cluster name": ({"etcd_cluster_name": "a b"}, "etcd_cluster_name is 'a b'"),
    "one user twice": ({"etcd_users": [USER, USER]}, "etcd_users names a user twice (patroni, patroni)"),
    "root by password": ({"etcd_users": [USER | {"name": "root"}]}, "etcd_users names root"),
    "password empty": ({"etcd_users": [USER | {"password": ""}]}, "etcd_users has no password for patroni"),
    "password missing": ({"etcd_users": [{"name": "patroni", "prefix": "/"}]}, "etcd_users has no password for patroni"),
    "password cut": ({"etcd_users": [USER | {"password": "two words"}]}, "white space"),
    "prefix empty": ({"etcd_users": [USER | {"prefix": ""}]}, "etcd_users has no prefix for patroni"),
    "state": ({"etcd_users": [USER | {"state": "gone"}]}, "must be one of: present, absent"),
    "archive of no version": (
        {"etcd_archive": "/tmp/etcd.tar.gz", "etcd_archive_sha256": "0" * 64},
        "etcd_archive is /tmp/etcd.tar.gz, and etcd_archive_version is ''",
    ),
    "the address of a mirror is no version": (
        {"etcd_archive": "https://192.0.2.1/3.6.14/etcd.tar.gz", "etcd_archive_sha256": "0" * 64},
        "etcd_archive_version is ''",
    ),
    "archive of half a version": (
        {"etcd_archive": "/tmp/etcd.tar.gz", "etcd_archive_sha256": "0" * 64, "etcd_archive_version": "3.6"},
        "etcd_archive_version is '3.6'",
    ),
    "archive unchecked": ({"etcd_archive": "https://mirror.example/etcd.tar.gz"}, "etcd_archive_sha256 is ''"),
    "data at the root": ({"etcd_data_directory": "/etcd"}, "etcd_data_directory is /etcd"),
    "snapshots": ({"etcd_snapshots_kept": -1}, "etcd_snapshots_kept is -1"),
    "settings": ({"etcd_settings": ["a"]}, "etcd_settings"),
}
ACCEPTED = {
    "three": {},
    "five": {"etcd_members": [*THREE, *({"name": f"etcd-{it}", "address": f"192.0.2.3{it}"} for it in (4, 5))]},
    "one, for a lab": {"etcd_members": THREE[:1], "etcd_single_member": True},
    "nobody but root": {"etcd_users": []},
    "a user who goes": {"etcd_users": [{"name": "patroni", "state": "absent"}]},
    # What playbooks/vars/cluster.yml says before the first run has made the secrets.
    "no secret yet in check mode": {"ansible_check_mode": True, "etcd_users": [USER | {"password": "not made yet, a first run makes it"}]},
    "an archive": {"etcd_archive": "/tmp/etcd.tar.gz", "etcd_archive_sha256": "0" * 64, "etcd_archive_version": "3.6.14"},
    "upstream's archive": {"etcd_archive": "https://mirror.example/etcd-v3.6.14-linux-amd64.tar.gz", "etcd_archive_sha256": "0" * 64},
}


@pytest.mark.parametrize(("variables", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refuses(refusal, variables, sentence):
    assert sentence in (refusal("etcd", GOOD | variables) or "nothing was refused")


@pytest.mark.parametrize("variables", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(refusal, variables):
    assert refusal("etcd", GOOD | variables) is None


def test_no_refusal_tells_a_password(refusal):
    assert "two words" not in refusal("etcd", GOOD | {"etcd_users": [USER | {"password": "two words"}]})
