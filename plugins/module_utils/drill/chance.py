# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""What few cycles can say: percentiles without interpolation, and how often at most something seen k times in N may happen."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank): always one that was measured."""
    if not values:
        raise ValueError("no value has a percentile")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def upper_bound(seen: int, of: int, confidence: float = 0.95) -> float:
    """The largest rate at which `seen` or fewer in `of` tries still have a chance of 1 - confidence (Clopper and Pearson, one side)."""
    if not 0 <= seen <= of or of < 1:
        raise ValueError(f"{seen} of {of} is no outcome")
    if seen == of:
        return 1.0
    low, high = seen / of, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        chance = math.fsum(math.comb(of, k) * rate**k * (1 - rate) ** (of - k) for k in range(seen + 1))
        low, high = (rate, high) if chance > 1 - confidence else (low, rate)
    return high


def spoken(seen: int, of: int) -> str:
    """`0 of 20: at most 3/20 of all cycles at 95 %, that is 15 %`: for none seen the rule of three, which errs on the safe side."""
    if of < 1:
        return "nothing was judged"
    if seen == 0:
        return f"0 of {of}: at most 3/{of} of all cycles at 95 %" + (
            ", which says nothing yet" if of <= 3 else f", that is {300 / of:.2g} %"
        )
    return f"{seen} of {of}: at most {100 * upper_bound(seen, of):.3g} % of all cycles at 95 %"
