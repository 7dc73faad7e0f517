# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""One cycle as a picture: who acknowledged writes, second by second, around the fault. Needs matplotlib, imported when it is drawn.

Colours are those of Okabe and Ito, which people with any common colour blindness tell apart; nothing is told by colour alone.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from .history import OK, Cycle, Sample
from .judge import Judged

INK, GREY, PALE, BAND = "#1a1a1a", "#6b6b6b", "#d9d9d9", "#f6e3d7"
NODES = ("#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#F0E442")
FAULT, PROMOTED, HEALED = "#D55E00", "#1a1a1a", "#00785a"
# Acknowledgements are counted in steps of so many seconds.
STEP = 0.1
# A lane is one unit high; so much of it is left to the bars, the rest to the strip and air.
BARS, STRIP = 0.62, 0.13
# What an observer missed for so long is not drawn as if it had been seen.
_STALE = 1.0


class NoMatplotlib(Exception):
    """The pictures' library is not there; says how to get it."""


@dataclass(frozen=True)
class Mark:
    """A vertical line with its words."""

    at: float
    words: str
    colour: str
    style: str


def promoted(cycle: Cycle) -> tuple[float, str] | None:
    """When a node that had not led at the fault said first that it leads, and its name."""
    found = []
    for name, samples in cycle.observers.items():
        before = [it for it in samples if it.at <= cycle.fault.injected and it.up]
        if before and not before[-1].primary:
            found += [(it.at, name) for it in samples if it.at > cycle.fault.armed and it.primary][:1]
    return min(found, default=None)


def span(cycle: Cycle, judged: Judged) -> tuple[float, float]:
    """What to show, in seconds since the fault: the outage large enough to be read; healing too if that leaves it so."""
    zero = cycle.fault.injected
    interrupted = max(judged.outage.end - zero, 0.0) if judged.outage else 0.0
    end = max(5.0, 1.7 * interrupted)
    for at in (cycle.fault.healed, cycle.fault.whole):
        if at is not None and end < at - zero + 1 <= max(4 * interrupted, 24):
            end = at - zero + 2
    return -max(2.0, 0.12 * end), end


def draw(cycle: Cycle, judged: Judged, note: str, file: Path) -> None:
    """Write the picture; its format is that of the file's name. `note` says which cycle it is. Raises NoMatplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NoMatplotlib(
            "matplotlib is not installed, so there are no pictures; the rest of the report is there. To have them: "
            "python3 -m pip install -r requirements-drill.txt, then the same command again."
        ) from error
    nodes = sorted(set(cycle.observers) | {it.server for it in cycle.attempts if it.outcome == OK and it.server})
    lanes = [*nodes, "errors", "etcd"]
    # Words stay words in an SVG only where the reader has the font; as paths they look the same everywhere.
    looks = {"font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "path", "svg.hashsalt": "elephant", "hatch.linewidth": 0.6}
    with rc_context(looks):
        height = 2.15 + 1.0 * len(nodes) + 0.9
        figure = Figure(figsize=(10, height), facecolor="white")
        # Room for the longest name: a bold letter of this size is some 0.0085 of the picture's width.
        margin = max(0.105, 0.015 + 0.0085 * max(len(_label(name)) for name in lanes))
        axes = figure.add_axes((margin, 0.62 / height, 0.98 - margin, (height - 2.2) / height))
        left, right = span(cycle, judged)
        tops = _tops(len(nodes))
        axes.set_xlim(left, right)
        axes.set_ylim(tops[-1] - 0.2, tops[0] + 0.8)
        most = _bars(axes, cycle, nodes, tops, left, right)
        for name, base in zip(nodes, tops, strict=False):
            _strip(axes, _states(cycle, name, right), NODES[nodes.index(name) % len(NODES)], base, left, right)
        _errors(axes, cycle, tops[len(nodes)], left, right)
        _key(axes, cycle, nodes, tops[len(nodes) + 1], left, right)
        _outage(axes, cycle, judged, tops[0] + 0.72)
        _marks(axes, _moments(cycle), left, right, height)
        _frame(axes, lanes, nodes, tops)
        _words(figure, cycle, judged, note, most / STEP, height)
        metadata: dict[str, Any] = {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, metadata=metadata, dpi=150)


def _tops(nodes: int) -> list[float]:
    """Base lines of the lanes, from above: one unit for each node, less for the two below."""
    bases = [float(nodes - number) for number in range(nodes)]
    return [*bases, 0.42, 0.0]


def _bars(axes: Any, cycle: Cycle, nodes: list[str], tops: list[float], left: float, right: float) -> int:
    """Draws them and returns what the highest of them stands for."""
    zero = cycle.fault.injected
    counts = {}
    for name in nodes:
        times = [it.ended - zero for it in cycle.attempts if it.outcome == OK and it.server == name]
        counts[name] = _count(times, left, right)
    most = max((max(heights, default=0) for _, heights in counts.values()), default=0) or 1
    for name, base in zip(nodes, tops, strict=False):
        edges, heights = counts[name]
        colour = NODES[nodes.index(name) % len(NODES)]
        axes.fill_between(edges, base, [base + BARS * it / most for it in heights], step="post", color=colour, linewidth=0)
    return most


def _count(times: Iterable[float], left: float, right: float) -> tuple[list[float], list[int]]:
    """How many fall into each step between `left` and `right`; the last edge closes the last step."""
    ordered = sorted(times)
    edges = [left + STEP * number for number in range(int((right - left) / STEP) + 2)]
    ranks = [bisect.bisect_left(ordered, it) for it in edges]
    return edges, [later - earlier for earlier, later in pairwise(ranks)] + [0]


def _states(cycle: Cycle, name: str, right: float) -> list[tuple[float, float, str]]:
    """(from, to, leads|follows|no answer) of a node, in seconds since the fault."""
    zero, samples = cycle.fault.injected, cycle.observers.get(name, [])
    spans: list[tuple[float, float, str]] = []
    for state, run in groupby(samples, key=_state):
        its = list(run)
        spans.append((its[0].at - zero, its[-1].at - zero, state))
    joined = []
    for number, (start, end, state) in enumerate(spans):
        following = spans[number + 1][0] if number + 1 < len(spans) else end
        # A host that is away writes nothing: its silence is no answer either.
        if following - end > _STALE:
            joined += [(start, end, state), (end, following, "no answer")]
        else:
            joined.append((start, following, state))
    return joined


def _state(sample: Sample) -> str:
    return "no answer" if not sample.up or sample.recovery is None else "follows" if sample.recovery else "leads"


def _strip(axes: Any, states: list[tuple[float, float, str]], colour: str, base: float, left: float, right: float) -> None:
    y = base - STRIP - 0.03
    looks = {
        "leads": {"facecolor": colour, "edgecolor": colour},
        "follows": {"facecolor": _tint(colour, 0.28)},
        "no answer": {"facecolor": "white", "edgecolor": "#a0a0a0", "hatch": "//////"},
    }
    for start, end, state in states:
        start, end = max(start, left), min(end, right)
        if end > start:
            axes.broken_barh([(start, end - start)], (y, STRIP), linewidth=0, **looks[state])
            if (end - start) / (right - left) > 0.012 * len(state):
                # White on the blue, dark on the yellow: whichever is read more easily.
                dark = state != "leads" or colour in NODES[1:]
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if state == "no answer" else None
                axes.text(
                    (start + end) / 2, y + STRIP / 2, state, ha="center", va="center_baseline", fontsize=7.5,
                    color=INK if dark else "white", bbox=box,
                )  # fmt: skip


def _tint(colour: str, share: float) -> str:
    """So much of a colour, the rest white: nothing shines through it."""
    return "#" + "".join(f"{round(255 - share * (255 - int(colour[at : at + 2], 16))):02x}" for at in (1, 3, 5))


def _errors(axes: Any, cycle: Cycle, base: float, left: float, right: float) -> None:
    """What the clients with the whole connection string were told instead of an acknowledgement."""
    zero = cycle.fault.injected
    for outcome, colour, marker, size in (("failed", GREY, "|", 60), ("unknown", FAULT, "x", 34)):
        times = [it.ended - zero for it in cycle.roaming if it.outcome == outcome and left <= it.ended - zero <= right]
        if times:
            axes.scatter(times, [base + 0.08] * len(times), marker=marker, s=size, color=colour, linewidths=1.1, zorder=4)


def _key(axes: Any, cycle: Cycle, nodes: list[str], base: float, left: float, right: float) -> None:
    zero = cycle.fault.injected
    spans: list[tuple[float, str | None]] = []
    for at, leader in cycle.etcd:
        if not spans or spans[-1][1] != leader:
            spans.append((at - zero, leader))
    last = cycle.etcd[-1][0] - zero if cycle.etcd else right
    for number, (start, leader) in enumerate(spans):
        start, end = max(start, left), min(spans[number + 1][0] if number + 1 < len(spans) else last, right)
        if end <= start:
            continue
        known = leader in nodes
        look = (
            {"facecolor": _tint(NODES[nodes.index(leader or "") % len(NODES)], 0.55)}
            if known
            else {"facecolor": "white", "hatch": "//////"}
        )
        axes.broken_barh([(start, end - start)], (base, STRIP), linewidth=0, edgecolor="#a0a0a0" if not known else "none", **look)
        word = leader or "nobody"
        if (end - start) / (right - left) > 0.012 * len(word):
            axes.text((start + end) / 2, base + STRIP / 2, word, ha="center", va="center_baseline", fontsize=7.5, color=INK)


def _outage(axes: Any, cycle: Cycle, judged: Judged, y: float) -> None:
    """The band in which nobody could write, and how long it is."""
    found = judged.outage
    if found is None or found.seconds < 2 * STEP:
        return
    start, end = found.start - cycle.fault.injected, found.end - cycle.fault.injected
    axes.axvspan(start, end, color=BAND, linewidth=0, zorder=0)
    axes.annotate("", (start, y), (end, y), arrowprops={"arrowstyle": "<->", "color": INK, "linewidth": 1, "shrinkA": 0, "shrinkB": 0})
    axes.text(
        (start + end) / 2, y - 0.04, f"{found.seconds:.2f} s", ha="center", va="top", fontsize=10, fontweight="bold", color=INK,
        bbox={"facecolor": BAND, "edgecolor": "none", "pad": 1, "alpha": 0.9},
    )  # fmt: skip


def _moments(cycle: Cycle) -> list[Mark]:
    fault, zero = cycle.fault, cycle.fault.injected
    marks = [Mark(0.0, "fault", FAULT, "-")]
    new = promoted(cycle)
    if new:
        marks.append(Mark(new[0] - zero, f"{new[1]} promoted", PROMOTED, "--"))
    # A fault that is over at once (a process killed) needs no healing.
    if fault.healed - zero > STEP:
        marks.append(Mark(fault.healed - zero, "healed", HEALED, "-."))
    if fault.whole is not None:
        marks.append(Mark(fault.whole - zero, "synchronous standby back", HEALED, ":"))
    return marks


def _marks(axes: Any, marks: list[Mark], left: float, right: float, height: float) -> None:
    """Lines over all lanes, their words above in as many rows as keep them apart; what lies beyond the edge is said at it."""
    taken: list[float] = []
    width = right - left
    for mark in sorted(marks, key=lambda it: it.at):
        beyond = mark.at > right
        words = mark.words if mark.at == 0 else f"{mark.words} +{mark.at:.1f} s"
        length = width * 0.0092 * len(words)
        at = right if beyond else mark.at
        # Near the right edge the words stand to the left of their line.
        turned = beyond or at + length > right
        start = at - length if turned else at
        row = next((number for number, end in enumerate(taken) if end < start), len(taken))
        taken[row : row + 1] = [at + width * 0.012 if turned else at + length]
        y = 1 + (0.13 + 0.17 * row) / (height - 2.2)
        axes.annotate(
            f"{words} →" if beyond else words, (at, y), xycoords=("data", "axes fraction"), ha="right" if turned else "left", va="bottom",
            fontsize=8.5, color=mark.colour, annotation_clip=False,
        )  # fmt: skip
        if not beyond:
            look = {"color": mark.colour, "linestyle": mark.style, "linewidth": 1.3, "clip_on": False, "zorder": 5}
            axes.plot([at, at], [0, y], transform=axes.get_xaxis_transform(), **look)


def _label(name: str) -> str:
    """A node's name, or where it is very long its end, which tells nodes apart."""
    return name if len(name) <= 28 else f"…{name[-27:]}"


def _frame(axes: Any, lanes: list[str], nodes: list[str], tops: list[float]) -> None:
    for base in tops[: len(nodes)]:
        axes.axhline(base, color=PALE, linewidth=0.8, zorder=0)
    axes.set_yticks([*(base + BARS / 2 for base in tops[: len(nodes)]), tops[-2] + 0.08, tops[-1] + STRIP / 2])
    axes.set_yticklabels([*(_label(name) for name in nodes), "errors", "etcd's key"])
    for label, name in zip(axes.get_yticklabels(), lanes, strict=True):
        label.set_fontweight("bold" if name in nodes else "normal")
        label.set_fontsize(9.5 if name in nodes else 8.5)
        label.set_color(INK if name in nodes else GREY)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors=GREY, labelsize=9)
    axes.set_xlabel("seconds since the fault", color=GREY, fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(PALE)


def _words(figure: Any, cycle: Cycle, judged: Judged, note: str, peak: float, height: float) -> None:
    """What one has to know without the text around the picture."""
    fault, found, table = cycle.fault, judged.outage, judged.rows
    said = []
    if found:
        promise = "" if fault.bound is None else f" (promised: {f'at most {fault.bound:g} s' if fault.bound else 'no interruption'})"
        said.append(f"{found.seconds:.2f} s without an acknowledged write{promise}")
    if table:
        said.append(f"{len(table.lost):,} of {table.acknowledged:,} acknowledged rows lost")
    figure.text(0.012, 1 - 0.12 / height, fault.title, fontsize=14, fontweight="bold", color=INK, va="top")
    figure.text(0.012, 1 - 0.43 / height, " · ".join(said), fontsize=10.5, color=INK, va="top")
    figure.text(0.012, 1 - 0.67 / height, note, fontsize=8.5, color=GREY, va="top")
    figure.text(
        0.012, 0.1 / height,
        f"Heights: acknowledged writes by the node that took them; the highest are {peak:.0f} a second. "
        "Strips: what each node said of itself. Errors of clients: | failed, x outcome unknown.",
        fontsize=7.5, color=GREY, va="bottom",
    )  # fmt: skip
