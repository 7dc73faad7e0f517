"""Pairs of versions that cannot work together, judged by what the mapping and the hosts say. How hosts are asked: molecule/etcd-lost."""

import pytest

ARCHIVE = "https://mirror.example/etcd-v{}-linux-amd64.tar.gz"


def told(judgement, installed, candidate, **variables):
    """The refusal, or None. The database hosts answer in words of apt: what is installed, and what would be."""
    said = {"stdout": f"patroni:\n  Installed: {installed}\n  Candidate: {candidate}\n  Version table:\n"}
    here = {
        "groups": {"all": ["etcd-1"], "etcd": ["etcd-1"], "postgresql": ["postgresql-1", "postgresql-2"]},
        "inventory_hostname": "etcd-1",
        "ansible_play_hosts_all": ["etcd-1"],
        "cluster_patroni_policies": {"results": [said, {"unreachable": True}]},
    }
    return judgement("versions.yml", here | variables)


@pytest.mark.parametrize(
    ("etcd", "installed", "candidate", "found"),
    [("3.6.14", "(none)", "4.0.6-1", "4.0.6"), ("3.5.28", "(none)", "4.1.0-1.pgdg13+1", "4.1.0"), ("3.6.9", "4.0.7-1", "4.1.4-1", "4.0.7")],
    ids=["neither is there yet", "just too early", "the later one is offered, not installed"],
)
def test_refuses(judgement, etcd, installed, candidate, found):
    said = told(judgement, installed, candidate, etcd_archive=ARCHIVE.format(etcd)) or "nothing was refused"
    assert f"etcd {etcd} (etcd_archive) with authentication needs Patroni 4.1.1 or later, and postgresql-1, postgresql-2 have or" in said
    assert f" get {found}: upgrade Patroni first, or keep etcd below 3.5.28" in said


def test_refuses_what_the_mapping_alone_tells(judgement):
    said = told(judgement, "(none)", "(none)", etcd_archive="/a", etcd_archive_version="3.6.14", cluster_patroni_version="4.1.0")
    assert "have or get 4.1.0: upgrade Patroni first" in (said or "nothing was refused")


@pytest.mark.parametrize(
    ("installed", "candidate", "variables"),
    [
        ("4.0.7-1", "4.0.7-1", {}),
        ("4.0.7-1", "4.0.7-1", {"etcd_archive": ARCHIVE.format("3.5.27")}),
        ("4.0.7-1", "4.0.7-1", {"etcd_archive": ARCHIVE.format("3.6.8")}),
        ("4.1.1-1", "4.1.4-1", {"etcd_archive": ARCHIVE.format("3.6.14")}),
        ("(none)", "(none)", {"etcd_archive": ARCHIVE.format("3.6.14")}),
        ("(none)", "4.0.7-1", {"etcd_archive": "/a", "etcd_archive_version": "3.6.14", "cluster_patroni_version": "4.1.5"}),
    ],
    ids=["the distribution's", "3.5 before it", "3.6 before it", "Patroni after it", "nobody can tell yet", "not from apt's sources"],
)
def test_accepts(judgement, installed, candidate, variables):
    assert told(judgement, installed, candidate, **variables) is None
