"""The one cluster that all tests of this folder share."""

import pytest
from living import Cluster


@pytest.fixture(scope="session")
def cluster(converge, tmp_path_factory) -> Cluster:
    """Three etcd members and two database hosts, whole."""
    made = Cluster(converge, tmp_path_factory.mktemp("inventories"))
    made.wait_whole()
    return made
