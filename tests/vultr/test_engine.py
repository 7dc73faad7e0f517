"""Removing everything, while an instance that was told to boot still does."""

from types import SimpleNamespace

import pytest
from docker.errors import APIError, NotFound

from local.vultr import engine


class Shelf:
    """What an engine lists of one kind; each thing is taken off when it is removed."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.refuses = lambda name: None

    def list(self, **_: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name, remove=lambda name=name, **_: self.take(name)) for name in self.names]

    def take(self, name: str) -> None:
        self.refuses(name)
        if name not in self.names:
            raise NotFound("no such thing")
        self.names.remove(name)


@pytest.fixture
def shelves(monkeypatch):
    made = SimpleNamespace(containers=Shelf("etcd-1", "etcd-2"), networks=Shelf("vpc"), volumes=Shelf("disk"))
    monkeypatch.setattr(engine, "client", lambda: made)
    return made


def test_an_instance_that_boots_meanwhile_goes_too(shelves):
    def late(name: str) -> None:
        if not late.came:
            late.came = True
            shelves.containers.names.append("etcd-3")
        if shelves.containers.names:
            raise APIError(f"network {name} has active endpoints")

    late.came = False
    shelves.networks.refuses = late
    removed = engine.remove_all("test")
    assert removed == ["container etcd-1", "container etcd-2", "volume disk", "container etcd-3", "network vpc"]
    assert not (shelves.containers.names or shelves.networks.names or shelves.volumes.names)


def test_a_network_that_somebody_else_uses_is_said_and_not_waited_for_for_ever(shelves, monkeypatch):
    def in_use(name: str) -> None:
        raise APIError(f"network {name} has active endpoints")

    shelves.networks.refuses = in_use
    monkeypatch.setattr(engine, "TIMEOUT", 0)
    with pytest.raises(engine.EngineError, match="has active endpoints"):
        engine.remove_all("test")
    assert shelves.containers.names == []


def test_removing_nothing_is_no_error(shelves):
    engine.remove_all("test")
    assert engine.remove_all("test") == []
