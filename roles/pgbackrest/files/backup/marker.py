"""The note that a restore is under way: on every member, until the cluster is whole again. What an interrupted restore goes on from."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATH = Path("/var/lib/pgbackrest/elephant-restore.json")
# The restored member's way; the others go from planned to cleared.
STAGES = ("planned", "restoring", "recovered", "leading")


def read(path: Path = PATH) -> dict[str, Any] | None:
    """The note, if there is one."""
    return json.loads(path.read_text()) if path.exists() else None


def write(note: dict[str, Any], path: Path = PATH) -> None:
    """Whole or not at all, and on the disk before anything else happens."""
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(note, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def merge(old: dict[str, Any] | None, plan: dict[str, Any]) -> dict[str, Any]:
    """The note for a plan. One that goes on stays as it is, but for who is asked for WAL.

    Another one begins again, and does not take restored data for old data.
    """
    if old is not None and old["id"] == plan["id"]:
        return old | {key: plan[key] for key in ("alone", "warns") if key in plan}
    # One that leads has served since, perhaps for days: what was written is old data as any, to be archived and kept aside.
    if old is None or old["stage"] == "leading":
        return plan | {"stage": "planned", "kept": ""}
    begun = old["stage"] != "planned"
    return plan | {"stage": "restoring" if begun and old["node"] == old.get("host") else "planned", "kept": old["kept"], "again": begun}


def busy(path: Path = PATH) -> bool:
    """Whether somebody works here: what a killed playbook left running brings the data, and must not have its server stopped under it."""
    with path.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def alone(path: Path = PATH) -> Iterator[None]:
    """Wait for whoever works here already: a playbook that was killed may have left its command running."""
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
