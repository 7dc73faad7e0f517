"""Who may begin a member in an empty data directory: judged by what the hosts of a run and the cluster say, each rule by its sentence."""

import pytest

NAMES = ["etcd-1", "etcd-2", "etcd-3"]
ADDRESS = {name: f"192.0.2.3{number}" for number, name in enumerate(NAMES, 1)}
HEALTHY = dict.fromkeys(NAMES, "healthy")


def said(name, data="empty", begun=False):
    """What etcd_info says of one host."""
    return {"name": name, "data": data, "begun": begun, "stamp": "20261123T000000Z"}


def member(host, **other):
    """What the cluster says of one of its members."""
    return {"name": host, "address": ADDRESS.get(host, "192.0.2.99"), "started": True, "learner": False} | other


def begun(role_judgement, hosts, members=(), health=None, **variables):
    """What etcd-3 is told when it would begin. `members`: of the cluster that answers, if one does."""
    seen = {"cluster_id": "c1" if members else "", "members": list(members), "health": health or dict.fromkeys(NAMES, "refused")}
    here = {
        "inventory_hostname": "etcd-3",
        "etcd_members": [{"name": name, "address": ADDRESS[name]} for name in NAMES],
        "hostvars": {host["name"]: {"__etcd_host": host} for host in hosts},
        "ansible_play_hosts": [host["name"] for host in hosts],
        "__etcd_host": next(host for host in hosts if host["name"] == "etcd-3"),
        "__etcd_seen": seen,
    }
    return role_judgement("etcd", "begin.yml", here | variables)


EMPTY = [said(name) for name in NAMES]
NEW = [said("etcd-1", "member"), said("etcd-2", "member"), said("etcd-3")]
OTHERS = [member("etcd-1"), member("etcd-2")]
REFUSED = {
    "its name is known": (
        NEW,
        [*OTHERS, member("etcd-3", address="192.0.2.98")],
        HEALTHY,
        "it lost its data, and must not vote as if it had not",
    ),
    "its address is known": (
        NEW,
        [*OTHERS, member("old", address=ADDRESS["etcd-3"])],
        HEALTHY,
        "The cluster knows member etcd-3 (192.0.2.33)",
    ),
    "a member is not healthy": (
        NEW,
        OTHERS,
        HEALTHY | {"etcd-2": "no leader"},
        "Member etcd-3 cannot join while etcd-2 of the cluster is not healthy",
    ),
    "a member is nobody's": (
        NEW,
        [*OTHERS, member("stranger")],
        HEALTHY,
        "Bring it back, or take it out: ansible-playbook playbooks/etcd/replace_member.yml -e etcd_replaced_member=stranger",
    ),
    "who has data does not answer": (NEW, [], None, "etcd-3 holds no data, etcd-1, etcd-2 does, and no member is healthy"),
    "a member is not in this run": ([said("etcd-1"), said("etcd-3")], [], None, "data directories; etcd-2 is not. Bring it into the run."),
    "a beginning that another host has no part in": ([said("etcd-1"), said("etcd-3", begun=True)], [], None, "etcd-2 is not"),
}
TAKEN = {
    "a new cluster": (EMPTY, [], None),
    "a new member": (NEW, OTHERS, HEALTHY),
    # It has been added, and not started: a run was cut off in between.
    "a member that was added": (NEW, [*OTHERS, member("etcd-3", started=False, name="")], HEALTHY),
    "a beginning that was cut off": ([said("etcd-1", "member"), said("etcd-2", begun=True), said("etcd-3", begun=True)], [], None),
}


@pytest.mark.parametrize(("hosts", "members", "health", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_beginning_that_would_harm_is_refused(role_judgement, hosts, members, health, sentence):
    assert sentence in (begun(role_judgement, hosts, members, health) or "nothing was refused")


@pytest.mark.parametrize(("hosts", "members", "health"), TAKEN.values(), ids=TAKEN)
def test_a_beginning_that_harms_nobody(role_judgement, hosts, members, health):
    assert begun(role_judgement, hosts, members, health) is None


def test_a_recorded_cluster_is_not_formed_again_unless_its_id_is_said(role_judgement, tmp_path):
    (tmp_path / "etcd-elephant.id").write_text("abc123\n")
    record = {"etcd_record_directory": str(tmp_path)}
    assert "run again with -e etcd_lost_cluster=abc123" in (begun(role_judgement, EMPTY, **record) or "nothing was refused")
    assert begun(role_judgement, EMPTY, **record, etcd_lost_cluster="abc123") is None
    assert begun(role_judgement, EMPTY, **record, etcd_lost_cluster="another") is not None
