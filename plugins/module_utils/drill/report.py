# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""The verdict on paper: lines of Markdown, JSON, and one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from typing import Any

from .judge import GREEN, Judged, Run, Summary

COLUMNS = (
    "fault", "verdict", "cycles", "without a write: p50", "p95", "max", "promised", "slowest client",
    "rows lost", "unexpected", "twice", "unknown (survived)", "two timelines", "two accept", "two say they lead", "standby back",
    "after healing", "old primary",
)  # fmt: skip
NOTES = (
    "Seconds. Without a write: the longest time between two acknowledged commits of the clients that use the whole connection string, "
    "taken together, from the fault until a synchronous standby is back, minus the usual interval; where the timelines were made to part, "
    "from the fault on only. Promised: the worst case that follows from the settings.",
    "Rows are read after healing, and again after the old primary has led once more. Lost: acknowledged and missing. Unexpected: in the "
    "table though its client was told otherwise. Unknown: the client was not told; either fate is right.",
    "Two timelines: how long an older timeline went on acknowledging after a newer one had begun. Two accept: how long two nodes "
    "acknowledged commits. Two say they lead: two nodes out of recovery at once, harmless while the commits of one hang.",
    "Standby back: the longest time from the fault, and from its healing, until a synchronous standby was there again.",
)


def row(summary: Summary) -> list[str]:
    """A fault as the cells of the table."""
    fates = ", ".join(f"{count} {fate}" for fate, count in summary.old_primary.items())
    return [
        summary.name,
        summary.verdict,
        f"{summary.judged}" if summary.judged == len(summary.cycles) else f"{summary.judged} of {len(summary.cycles)}",
        _seconds(summary.p50),
        _seconds(summary.p95),
        _seconds(summary.longest),
        "-" if summary.bound is None else f"{summary.bound:g}{'' if summary.timed else ' (not judged)'}",
        _seconds(summary.slowest),
        f"{summary.lost} of {summary.acknowledged}",
        f"{summary.unexpected + summary.vanished}",
        f"{summary.duplicated}",
        f"{summary.unknown} ({summary.survived})",
        _seconds(summary.overlap),
        _seconds(summary.twice),
        _seconds(summary.two_primaries),
        _seconds(summary.standby_back),
        _seconds(summary.standby_back_after_healing),
        fates or "-",
    ]


def headline(run: Run) -> str:
    """The verdict as a sentence."""
    cycles = sum(it.judged for it in run.faults)
    rows = sum(it.acknowledged for it in run.faults)
    lost = sum(it.lost for it in run.faults)
    if run.verdict == GREEN:
        return f"Green: {_plural(len(run.faults), 'fault')}, {_plural(cycles, 'cycle')}, 0 of {rows} acknowledged rows lost."
    what = "Red" if run.verdict == "red" else "Not judged, which counts as red"
    return f"{what}: {_plural(len(run.faults), 'fault')}, {_plural(cycles, 'cycle')} judged, {lost} of {rows} acknowledged rows lost."


def loads(run: Run) -> list[str]:
    """What worked beside the clients, a sentence for each load that some cycle had."""
    found = {_load(judged.fault.load): None for summary in run.faults for judged in summary.cycles if judged.fault}
    return [it for it in found if it]


def _load(load: Mapping[str, Any]) -> str:
    """`load` as in fault.json: scale, bytes, most and rate of pgbench, and bulk_rows; empty without pgbench."""
    if not load.get("scale"):
        return ""
    size = f"{load['bytes'] / 2**30:.1f} GiB (scale {load['scale']})" if load.get("bytes") else f"scale {load['scale']}"
    bulk = f", and a transaction of {load['bulk_rows']} rows was open" if load.get("bulk_rows") else ""
    return f"Beside the clients pgbench worked on {size}, {load['rate']:.0f} of at most {load['most']:.0f} transactions a second{bulk}."


def markdown(run: Run) -> list[str]:
    """Headline, table, what is wrong, and how sure one may be; a line each."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(row(it) for it in run.faults)]
    lines = [headline(run), *loads(run), "", *("| " + " | ".join(_cell(it) for it in cells) + " |" for cells in rows), ""]
    if run.reasons:
        lines += ["Why it is not green:", "", *(f"- {_cell(it)}" for it in run.reasons), ""]
    lines += ["Cycles that lost an acknowledged row:", "", *(f"- {it.name}: {it.chance}" for it in run.faults), ""]
    return [*lines, *NOTES]


def document(run: Run) -> dict[str, Any]:
    """Everything as plain data."""
    return json.loads(json.dumps({"headline": headline(run), "red": run.red, **asdict(run)}, default=str))


def page(run: Run, pictures: Mapping[str, str], title: str, missing: str = "") -> str:
    """The HTML page; `pictures` are SVG by the fault's name, `missing` says why there are none."""
    cells = "".join(_table_row(it) for it in run.faults)
    reasons = f"<h2>Why it is not green</h2><ul>{''.join(f'<li>{escape(it)}</li>' for it in run.reasons)}</ul>" if run.reasons else ""
    faults = "".join(_section(it, pictures.get(it.name, ""), missing) for it in run.faults)
    return _PAGE.format(
        title=escape(title),
        style=_STYLE,
        verdict=_class(run.verdict),
        headline=escape(headline(run)),
        loads="".join(f"<p class=quiet>{escape(it)}</p>" for it in loads(run)),
        path=escape(run.path),
        heads="".join(f"<th>{escape(it)}</th>" for it in COLUMNS),
        cells=cells,
        reasons=reasons,
        faults=faults,
        notes="".join(f"<p>{escape(it)}</p>" for it in NOTES),
    )


def inline(svg: str, prefix: str) -> str:
    """An SVG as part of a page: without its prolog, its ids made the fault's own, so that two pictures do not share them."""
    svg = svg[svg.index("<svg") :]
    word = re.sub(r"\W", "-", prefix)
    svg = re.sub(r'\bid="', f'id="{word}-', svg)
    svg = re.sub(r'(xlink:href|href)="#', rf'\1="#{word}-', svg)
    return re.sub(r"url\(#", f"url(#{word}-", svg)


def _section(summary: Summary, picture: str, missing: str) -> str:
    drawn = f"<figure>{inline(picture, summary.name)}</figure>" if picture else f"<p class=quiet>{escape(missing or 'No picture.')}</p>"
    verdict = f"<b class={_class(summary.verdict)}>{escape(summary.verdict)}</b>"
    return (
        f'<section id="{escape(summary.name)}"><h2>{escape(summary.title)} {verdict}</h2>{drawn}'
        f"<p>Cycles that lost an acknowledged row: {escape(summary.chance)}.</p><details><summary>Each cycle</summary>"
        f"<div class=wide><table><tr>{''.join(f'<th>{it}</th>' for it in _CYCLE)}</tr>"
        f"{''.join(_cycle_row(it) for it in summary.cycles)}</table></div></details></section>"
    )


def _cycle_row(judged: Judged) -> str:
    rows, fault = judged.rows, judged.fault
    cells = [
        judged.path.rstrip("/").rpartition("/")[2],
        judged.verdict,
        _seconds(judged.outage.seconds if judged.outage else None),
        _seconds(judged.slowest),
        f"{len(rows.lost)} of {rows.acknowledged}" if rows else "-",
        f"{rows.unknown} ({rows.survived})" if rows else "-",
        _seconds(judged.standby_back),
        (fault.old_primary if fault else None) or "-",
        "; ".join(judged.reasons),
    ]
    return f"<tr class={_class(judged.verdict)}>{''.join(f'<td>{escape(it)}</td>' for it in cells)}</tr>"


def _table_row(summary: Summary) -> str:
    cells = row(summary)
    first = f'<td><a href="#{escape(summary.name)}">{escape(cells[0])}</a></td>'
    return f"<tr class={_class(summary.verdict)}>{first}{''.join(f'<td>{escape(it)}</td>' for it in cells[1:])}</tr>"


def _class(verdict: str) -> str:
    return "green" if verdict == GREEN else "red"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value else "0"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


_CYCLE = (
    "cycle", "verdict", "without a write", "slowest client", "rows lost", "unknown (survived)", "standby back", "old primary",
    "what is wrong",
)  # fmt: skip
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:92rem;margin:2rem auto;padding:0 1.25rem}
h1{font-size:1.7rem;margin:0 0 .25rem}h2{font-size:1.2rem;margin:2.5rem 0 .5rem}
.quiet,.notes{color:#555;font-size:.875rem}.verdict{font-size:1.15rem;padding:.6rem .9rem;border-left:.4rem solid;margin:1rem 0}
.verdict.green{border-color:#00785a;background:#eef7f4}.verdict.red{border-color:#d55e00;background:#fdf1e8}
b.green{color:#00785a}b.red{color:#b34a00}h2 b{font-size:.9rem;font-weight:600;margin-left:.5rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .45rem;text-align:right;border-bottom:1px solid #ddd;vertical-align:top}
th{font-weight:600;color:#555;vertical-align:bottom}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2),td:last-child,th:last-child{text-align:left}
tr.red td:nth-child(2){color:#b34a00;font-weight:600}tr.green td:nth-child(2){color:#00785a}
figure{margin:1rem 0;max-width:70rem}
td:not(:last-child){white-space:nowrap}figure svg{width:100%;height:auto}a{color:#0060a0}summary{cursor:pointer}
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head><body>
<h1>{title}</h1><p class=quiet>{path}</p><p class="verdict {verdict}">{headline}</p>
{loads}<div class=wide><table><tr>{heads}</tr>{cells}</table></div>
{reasons}
{faults}
<h2>How to read it</h2><div class=notes>{notes}</div>
</body></html>
"""
