# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Does a standby that is being copied come any further? Standard library only: it runs on the hosts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

COPIERS = ("pgbackrest", "pg_basebackup")
# A copy in which nothing moves for so many seconds is given up, and so is one that was begun so often.
STALL_SECONDS = 120
ATTEMPTS = 3


def words(path: Path) -> str:
    """A file of /proc, empty when its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def copiers(proc: Path = Path("/proc")) -> tuple[set[int], int]:
    """The processes that copy (not those that they started themselves), and the bytes that all of them have moved."""
    found = {int(it.name) for it in proc.iterdir() if it.name.isdigit() and words(it / "comm").strip() in COPIERS}
    parents = {pid: words(proc / str(pid) / "stat").rpartition(")")[2].split()[1:2] for pid in found}
    moved = [
        line.split(": ")[1] for pid in found for line in words(proc / str(pid) / "io").splitlines() if line.startswith(("rchar", "wchar"))
    ]
    return {pid for pid in found if parents[pid] and int(parents[pid][0]) not in found}, sum(map(int, moved))


class Progress:
    """What has moved since one began to look."""

    def __init__(self, stall_seconds: int = STALL_SECONDS, attempts: int = ATTEMPTS) -> None:
        self.stall_seconds, self.attempts = stall_seconds, attempts
        self.last: Any = None
        self.moved = time.monotonic()
        self.begun: set[int] = set()

    def look(self, own: dict[str, Any]) -> None:
        """Compare with the last look; `own` is the member's answer to GET /patroni."""
        copying, volume = copiers()
        self.begun |= copying
        xlog = own.get("xlog") or {}
        now = (own.get("state"), xlog.get("received_location"), xlog.get("replayed_location"), volume, len(self.begun))
        if now != self.last:
            self.last, self.moved = now, time.monotonic()

    @property
    def too_often(self) -> bool:
        """Whether the copy was begun more often than it may be."""
        return len(self.begun) > self.attempts

    @property
    def stalled(self) -> bool:
        """Whether nothing has moved for too long."""
        return time.monotonic() - self.moved > self.stall_seconds
