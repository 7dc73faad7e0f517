"""What a data directory holds, and where a joining that was cut off goes on."""

import pytest
from ansible_collections.elephant.ha.plugins.module_utils.etcd import Cluster, EtcdError, Member
from ansible_collections.elephant.ha.plugins.modules import etcd_info, etcd_member


@pytest.mark.parametrize(
    ("folders", "begun", "holds"),
    [
        ([], False, "empty"),
        ([], True, "empty"),
        (["member/snap"], False, "empty"),
        (["member/snap"], True, "member"),
        (["member/wal"], False, "member"),
        (["member/wal"], True, "member"),
    ],
)
def test_a_log_makes_a_member_and_a_first_start_is_not_begun_twice(tmp_path, folders, begun, holds):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert etcd_info.holds(tmp_path, begun) == holds


class Store(Cluster):
    """A cluster of etcd-1, and of etcd-2 as it is given; commands are kept, and one of them may fail."""

    def __init__(self, newcomer: Member | None, fails: str = "") -> None:
        self.addresses = {"etcd-1": "192.0.2.31", "etcd-2": "192.0.2.32"}
        self.rows = [Member("1", "etcd-1", "192.0.2.31", False, True), *([newcomer] if newcomer else [])]
        self.fails, self.said = fails, []

    def health(self, timeout: float = 2) -> dict[str, str]:
        return dict.fromkeys(self.addresses, "healthy")

    def members(self, endpoints):
        assert not any("192.0.2.32" in it for it in endpoints), "a learner was asked"
        return "a", self.rows

    def etcdctl(self, endpoints, *command, **_):
        self.said.append(" ".join(command[:2]))
        if self.said[-1] == self.fails:
            raise EtcdError("refused")
        if command[:2] == ("member", "add"):
            self.rows.append(Member("2", "", "192.0.2.32", True, False))
        return []

    def wait_until_healthy(self, name: str, timeout: float) -> str:
        return "healthy"


ADDED, STARTED = Member("2", "", "192.0.2.32", True, False), Member("2", "etcd-2", "192.0.2.32", True, True)


@pytest.fixture
def given(monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr(etcd_member, "systemctl", lambda *words: done.append(words[0]))
    return {"name": "etcd-2", "first_start_file": str(tmp_path / "first.yml"), "settings": {}, "timeout": -1, "systemctl": done}


@pytest.mark.parametrize(
    ("newcomer", "said"),
    [
        (None, ["member add", "endpoint status", "member promote"]),
        (ADDED, ["endpoint status", "member promote"]),
        (STARTED, ["endpoint status", "member promote"]),
    ],
    ids=["new", "added", "started"],
)
def test_a_member_joins_from_wherever_it_was_left(given, newcomer, said):
    store = Store(newcomer)
    etcd_member.join(store, given)
    assert (store.said, given["systemctl"]) == (said, ["start"])


@pytest.mark.parametrize(
    ("newcomer", "taken_out"), [(ADDED, ["start", "stop"]), (STARTED, ["start"])], ids=["added", "started, and has data"]
)
def test_only_a_member_that_never_started_is_taken_out_again(given, newcomer, taken_out):
    store = Store(newcomer, fails="member promote")
    with pytest.raises(EtcdError):
        etcd_member.join(store, given)
    assert given["systemctl"] == taken_out
    assert ("member remove" in store.said) == (newcomer is ADDED)
