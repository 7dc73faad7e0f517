"""One console command at a time changes a cluster. The lock is on the folder itself, so that nothing is left when the folder goes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from local.paths import Cluster
from local.say import Refusal


@contextmanager
def held(cluster: Cluster) -> Iterator[None]:
    """Hold the cluster's folder (made when missing, 0700). Raises Refusal when another command holds it."""
    cluster.make_folder()
    folder = os.open(cluster.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"Another make up or make down is at work on cluster {cluster.name}: wait for it, or stop it with ^C.") from None
        yield
    finally:
        os.close(folder)
