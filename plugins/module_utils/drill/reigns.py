# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Whether two nodes led at once: by what clients were told, which must not be; by what the nodes said, which is only looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from .history import OK, Attempt, Sample

# A sample speaks for the time until the next one, but not for longer: five missed samples at 10 Hz.
_FRESH = 0.5


@dataclass(slots=True)
class Reign:
    """Acknowledgements of one server on one timeline: its first one's end and its last one's start."""

    timeline: int
    server: str
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Seconds for which an older timeline still acknowledged after a newer one had, and the number of such commits; `twice` is the
    time in which two nodes acknowledged commits."""

    seconds: float
    commits: int
    twice: float


def reigns(attempts: Iterable[Attempt]) -> list[Reign]:
    """Who acknowledged on which timeline, the oldest timeline first."""
    found: dict[tuple[int, str], Reign] = {}
    for it in attempts:
        if it.outcome == OK and it.server is not None and it.timeline is not None:
            reign = found.setdefault((it.timeline, it.server), Reign(it.timeline, it.server, it.ended, it.started))
            reign.first, reign.last = min(reign.first, it.ended), max(reign.last, it.started)
    return [found[key] for key in sorted(found)]


def overlap(attempts: Sequence[Attempt]) -> Overlap:
    """An attempt under way while the other timeline took over is none: only one that began after the newer timeline had acknowledged."""
    known = reigns(attempts)
    shared = [_shared(one, other) for one, other in combinations(known, 2)]
    begin = {reign.timeline: min((it.first for it in known if it.timeline > reign.timeline), default=float("inf")) for reign in known}
    led = [it for it in attempts if it.outcome == OK and it.timeline in begin]
    late = [it.started - begin[it.timeline] for it in led if it.started > begin[it.timeline]]
    return Overlap(
        seconds=max(late, default=0.0) if late else max(shared, default=0.0),
        commits=len(late),
        twice=_twice([(it.first, it.last, it.server) for it in known]),
    )


def two_primaries(observers: Mapping[str, Sequence[Sample]]) -> float:
    """Seconds in which two nodes or more said that they were not in recovery. Harmless while the commits of one of them hang."""
    spans = []
    for name, samples in observers.items():
        for sample, following in pairwise([*samples, None]):
            if sample is not None and sample.primary:
                until = sample.at + _FRESH if following is None else min(following.at, sample.at + _FRESH)
                spans.append((sample.at, until, name))
    return _twice(spans)


def _shared(one: Reign, other: Reign) -> float:
    return max(0.0, min(one.last, other.last) - max(one.first, other.first)) if one.server != other.server else 0.0


def _twice(spans: Iterable[tuple[float, float, str]]) -> float:
    """How long at least two different names were there."""
    events = sorted((at, step, name) for start, end, name in spans if end > start for at, step in ((start, 1), (end, -1)))
    there: dict[str, int] = {}
    total, since = 0.0, 0.0
    for at, step, name in events:
        if sum(1 for count in there.values() if count > 0) > 1:
            total += at - since
        there[name] = there.get(name, 0) + step
        since = at
    return total
