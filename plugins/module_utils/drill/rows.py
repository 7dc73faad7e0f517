# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""What became of the rows: lost, unexpected, duplicated, and those whose fate the client was not told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .history import OK, UNKNOWN, Attempt, Key


@dataclass(frozen=True, slots=True)
class Rows:
    """Counts of one cycle; each row counts once, whichever reading of the table gave it away."""

    acknowledged: int
    # Acknowledged, and missing from a reading.
    lost: tuple[Key, ...]
    # In the table, though the client was told that it failed, or never tried it.
    unexpected: tuple[Key, ...]
    # Rows beyond the first of their kind.
    duplicated: int
    # There after healing, gone after the old primary led again, though never acknowledged: somebody may have read them.
    vanished: tuple[Key, ...]
    unknown: int
    survived: int


def compare(attempts: Iterable[Attempt], after: Mapping[Key, int], again: Mapping[Key, int] | None) -> Rows:
    """What the clients were told against the table `after` healing, and `again` after the old primary led once more (null: not read)."""
    told: dict[Key, str] = {}
    for it in attempts:
        # A sequence is never tried twice; should it be, the acknowledgement is what must hold.
        if told.get(it.key) != OK:
            told[it.key] = it.outcome
    readings = [after] if again is None else [after, again]
    ok = {key for key, outcome in told.items() if outcome == OK}
    unknown = {key for key, outcome in told.items() if outcome == UNKNOWN}
    return Rows(
        acknowledged=len(ok),
        lost=tuple(sorted({key for reading in readings for key in ok if not reading.get(key)})),
        unexpected=tuple(sorted({key for reading in readings for key, count in reading.items() if count} - ok - unknown)),
        duplicated=sum(max(0, *(reading.get(key, 0) - 1 for reading in readings)) for key in set().union(*readings)),
        vanished=tuple(sorted(key for key in unknown if after.get(key) and not readings[-1].get(key))),
        unknown=len(unknown),
        survived=sum(1 for key in unknown if after.get(key)),
    )
