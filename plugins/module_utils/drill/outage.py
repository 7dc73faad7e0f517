# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""How long clients went without an acknowledged commit.

The outage of a cycle is the longest time between two consecutive acknowledgements of the multi-host clients, taken together,
that touches the time from arming the fault until a synchronous standby is back, minus the usual interval: the median of such
times before the fault. Where the standby was held back before the fault, commits already waited for it, which is the drill's doing:
there the outage begins with the fault.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .history import OK, Attempt


@dataclass(frozen=True, slots=True)
class Outage:
    """What the fault cost in `seconds`, between the acknowledgements `start` and `end`.

    Seen before the fault: the `usual` interval, and by how much the longest exceeded it (`noise`).
    """

    start: float
    end: float
    seconds: float
    usual: float
    noise: float


def acknowledged(attempts: Iterable[Attempt]) -> list[float]:
    """When commits were acknowledged, in order."""
    return sorted(it.ended for it in attempts if it.outcome == OK)


def longest(acks: Sequence[float], armed: float, injected: float, until: float, parted: bool = False) -> Outage | None:
    """The outage, or null where acknowledgements are missing that it could be told from: three before the fault and one after it."""
    before = [it for it in acks if it <= injected]
    pairs = [(max(earlier, injected) if parted else earlier, later) for earlier, later in pairwise(acks) if earlier <= until]
    gaps = [(later - earlier, earlier, later) for earlier, later in pairs if later > (injected if parted else armed)]
    if len(before) < 3 or acks[-1] <= injected:
        return None
    pauses = [(later - earlier, later) for earlier, later in pairwise(before)]
    quiet = [pause for pause, later in pauses if later <= armed] or [pause for pause, _ in pauses]
    usual = statistics.median(quiet)
    # The first acknowledgement after the fault always closes a gap that counts.
    gap, start, end = max(gaps)
    return Outage(start, end, max(0.0, gap - usual), usual, max(0.0, max(quiet) - usual))


def by_client(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """The attempts of each client."""
    clients: dict[str, list[Attempt]] = {}
    for it in attempts:
        clients.setdefault(it.client, []).append(it)
    return clients


def idle(attempts: Iterable[Attempt], start: float, end: float) -> float:
    """The longest time between `start` and `end` in which no attempt was under way: then the clients, not the cluster, stood still."""
    worst, covered = 0.0, start
    for it in sorted(attempts, key=lambda it: it.started):
        if it.started >= end:
            break
        worst = max(worst, it.started - covered)
        covered = max(covered, it.ended)
    return max(worst, end - covered)
