# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""The verdict: of one cycle, of a fault over its cycles, of the whole run. What cannot be judged is red, never green."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import outage, reigns, rows
from .chance import percentile, spoken
from .history import FAILED, OK, UNKNOWN, Cycle, Fault, Malformed, read_cycle

GREEN, RED, NOT_JUDGED = "green", "red", "not judged"
# Acknowledgements that must be there before the fault, and again after healing, for a cycle to say anything.
ENOUGH = 10
# Seconds in which no client tries anything, beyond which the clients are what stood still.
STALLED = 2.0
# Where nothing may be interrupted: pauses as long as this are no interruption on a busy machine, nor those as long as one before the fault.
UNDISTURBED = 0.5


@dataclass
class Judged:
    """One cycle. `reasons` say why it is not green; figures are null where they could not be measured."""

    path: str
    verdict: str
    reasons: list[str]
    fault: Fault | None = None
    outage: outage.Outage | None = None
    slowest: float | None = None
    rows: rows.Rows | None = None
    overlap: reigns.Overlap | None = None
    two_primaries: float | None = None
    standby_back: float | None = None
    standby_back_after_healing: float | None = None
    refused: int = 0

    @property
    def loses(self) -> bool:
        """Whether an acknowledged row was lost."""
        return bool(self.rows and self.rows.lost)


@dataclass
class Summary:
    """A fault over its cycles; seconds are over the cycles that were judged."""

    name: str
    title: str
    verdict: str
    cycles: list[Judged]
    judged: int
    bound: float | None
    timed: bool
    p50: float | None
    p95: float | None
    longest: float | None
    slowest: float | None
    acknowledged: int
    lost: int
    unexpected: int
    duplicated: int
    vanished: int
    unknown: int
    survived: int
    overlap: float
    twice: float
    two_primaries: float
    standby_back: float | None
    standby_back_after_healing: float | None
    old_primary: dict[str, int]
    chance: str
    reasons: list[str]


@dataclass
class Run:
    """All faults of a run."""

    path: str
    verdict: str
    faults: list[Summary]
    reasons: list[str]

    @property
    def red(self) -> bool:
        """Anything but green."""
        return self.verdict != GREEN


def judge_cycle(cycle: Cycle) -> Judged:
    """Measure one cycle and say what is wrong with it."""
    fault, roaming = cycle.fault, cycle.roaming
    acks = outage.acknowledged(roaming)
    last = max((it.ended for it in cycle.attempts), default=fault.healed)
    until = max(fault.healed, last if fault.whole is None else fault.whole)
    times = (fault.armed, fault.injected, until, fault.parted)
    found = outage.longest(acks, *times)
    judged = Judged(path=str(cycle.path), verdict=GREEN, reasons=[], fault=fault, outage=found)
    judged.rows = rows.compare(cycle.attempts, cycle.rows, cycle.rows_again)
    judged.overlap = reigns.overlap(cycle.attempts)
    judged.two_primaries = reigns.two_primaries(cycle.observers)
    judged.refused = sum(1 for it in roaming if it.outcome in (FAILED, UNKNOWN) and fault.armed <= it.started <= until)
    if fault.whole is not None:
        judged.standby_back = max(0.0, fault.whole - fault.injected)
        judged.standby_back_after_healing = max(0.0, fault.whole - fault.healed)
    if found:
        own = [outage.longest(outage.acknowledged(its), *times) for its in outage.by_client(roaming).values()]
        judged.slowest = max((it.seconds for it in own if it), default=None)
    holes, wrongs = _holes(cycle, acks, found, until), _wrongs(cycle, judged)
    judged.reasons = wrongs + holes
    judged.verdict = RED if wrongs else NOT_JUDGED if holes else GREEN
    return judged


def _holes(cycle: Cycle, acks: list[float], found: outage.Outage | None, until: float) -> list[str]:
    """Why the record says too little."""
    fault, holes = cycle.fault, [f"the drill itself: {error}" for error in cycle.fault.errors]
    before, after = sum(1 for it in acks if it <= fault.injected), sum(1 for it in acks if it > fault.healed)
    if not cycle.roaming:
        holes.append("no client used the whole connection string (writer-any-*.jsonl)")
    elif before < ENOUGH:
        holes.append(f"{before} acknowledged commits before the fault; {ENOUGH} are needed to know what is usual")
    elif after < ENOUGH:
        holes.append(f"{after} acknowledged commits after healing; with fewer than {ENOUGH} nobody knows whether it healed")
    elif found is None:
        holes.append("no outage can be told from these acknowledgements")
    elif fault.timed and (still := outage.idle(cycle.roaming, fault.armed, until)) > STALLED:
        holes.append(f"no client tried anything for {still:.1f} s: what stood still was the clients' host")
    if found and fault.moves and not _moved(cycle) and not _felt(found):
        holes.append(f"the fault was not felt: {_leader(cycle)} led on, and no write waited for it")
    nameless = sum(1 for it in cycle.attempts if it.outcome == OK and (it.server is None or it.timeline is None))
    if nameless:
        holes.append(f"{nameless} acknowledged commits do not say which server and timeline took them")
    nodes = {it.client.removeprefix("node-") for it in cycle.attempts if it.client.startswith("node-")}
    nodes |= {it.server for it in cycle.attempts if it.outcome == OK and it.server}
    for node in sorted(nodes):
        times = [it.at for it in cycle.observers.get(node, [])]
        if not times:
            holes.append(f"nobody observed {node} (observer-{node}.jsonl)")
        elif min(times) > fault.injected or max(times) < fault.healed:
            holes.append(f"{node} was not observed from before the fault until after healing")
    times = [at for at, _ in cycle.etcd]
    if not times or min(times) > fault.injected or max(times) < fault.healed:
        holes.append("etcd's leader key was not observed from before the fault until after healing (observer-etcd.jsonl)")
    if fault.old_primary is not None and cycle.rows_again is None:
        holes.append("the rows were not read again after the old primary had led once more (rows-again.jsonl)")
    return holes


def _felt(found: outage.Outage) -> bool:
    """Whether clients waited, and longer than at any time before the fault."""
    return found.seconds > max(UNDISTURBED, found.noise)


def _leader(cycle: Cycle) -> str | None:
    """Who acknowledged last before the fault."""
    before = [it for it in cycle.attempts if it.outcome == OK and it.ended <= cycle.fault.injected]
    return max(before, key=lambda it: it.ended).server if before else None


def _moved(cycle: Cycle) -> bool:
    """Whether another node acknowledged after the fault."""
    leader = _leader(cycle)
    return any(it.outcome == OK and it.started > cycle.fault.injected and it.server != leader for it in cycle.attempts)


def _wrongs(cycle: Cycle, judged: Judged) -> list[str]:
    """What the cluster broke."""
    fault, found, table, both = cycle.fault, judged.outage, judged.rows, judged.overlap
    wrongs = []
    if table.lost:
        wrongs.append(f"{len(table.lost)} of {table.acknowledged} acknowledged rows lost, the first {_name(table.lost[0])}")
    if table.unexpected:
        wrongs.append(f"{len(table.unexpected)} rows in the table that no client was told of, the first {_name(table.unexpected[0])}")
    if table.duplicated:
        wrongs.append(f"{table.duplicated} rows more than once in the table")
    if table.vanished:
        wrongs.append(f"{len(table.vanished)} rows could be read after healing and were gone later, the first {_name(table.vanished[0])}")
    if both.seconds or both.commits:
        wrongs.append(f"{both.commits} commits acknowledged by an older timeline up to {both.seconds:.2f} s after a newer one had begun")
    if both.twice:
        wrongs.append(f"two nodes acknowledged commits for {both.twice:.2f} s")
    if found and fault.timed and fault.bound and found.seconds > fault.bound:
        wrongs.append(f"{found.seconds:.2f} s without an acknowledged write; the settings promise {fault.bound:g}")
    elif found and fault.bound == 0:
        if fault.timed and _felt(found):
            wrongs.append(f"{found.seconds:.2f} s without an acknowledged write, where the settings promise none")
        if judged.refused:
            wrongs.append(f"{judged.refused} writes failed where none may")
    clients = outage.by_client(cycle.roaming)
    silent = [name for name, its in clients.items() if not any(it.outcome == OK and it.ended > fault.healed for it in its)]
    if silent and len(silent) < len(clients):
        wrongs.append(f"{', '.join(sorted(silent))} never wrote again after healing")
    if fault.whole is None:
        wrongs.append("no synchronous standby came back")
    return wrongs


def judge_fault(name: str, judged: list[Judged], cycles: int = 0) -> Summary:
    """Put the cycles of a fault together. Fewer than `cycles` of them is not judged."""
    whole = [it for it in judged if it.rows and it.outage and it.verdict != NOT_JUDGED]
    reasons = [f"cycle {Path(it.path).name}: {reason}" for it in judged for reason in it.reasons]
    if not judged or len(judged) < cycles:
        reasons.append(f"{len(judged)} of {max(1, cycles)} cycles were run")
    red = any(it.verdict == RED for it in judged)
    seconds = [it.outage.seconds for it in whole if it.outage]
    known = [it.rows for it in judged if it.rows]
    faults = [it.fault for it in judged if it.fault]
    bounds = [it.bound for it in faults if it.bound is not None]
    fates = [it.old_primary for it in faults if it.old_primary]
    losing = sum(1 for it in judged if it.loses)
    # A cycle that lost a row counts even where the rest of it could not be judged.
    counted = len(whole) + sum(1 for it in judged if it.loses and it not in whole)
    return Summary(
        name=name,
        title=faults[0].title if faults else name,
        verdict=RED if red else NOT_JUDGED if reasons else GREEN,
        cycles=judged,
        judged=len(whole),
        bound=max(bounds, default=None),
        timed=all(it.timed for it in faults),
        p50=percentile(seconds, 0.5) if seconds else None,
        p95=percentile(seconds, 0.95) if seconds else None,
        longest=max(seconds, default=None),
        slowest=_most(it.slowest for it in whole),
        acknowledged=sum(it.acknowledged for it in known),
        lost=sum(len(it.lost) for it in known),
        unexpected=sum(len(it.unexpected) for it in known),
        duplicated=sum(it.duplicated for it in known),
        vanished=sum(len(it.vanished) for it in known),
        unknown=sum(it.unknown for it in known),
        survived=sum(it.survived for it in known),
        overlap=max((it.overlap.seconds for it in judged if it.overlap), default=0.0),
        twice=max((it.overlap.twice for it in judged if it.overlap), default=0.0),
        two_primaries=max((it.two_primaries for it in judged if it.two_primaries is not None), default=0.0),
        standby_back=_most(it.standby_back for it in whole),
        standby_back_after_healing=_most(it.standby_back_after_healing for it in whole),
        old_primary={fate: fates.count(fate) for fate in sorted(set(fates))},
        chance=spoken(losing, counted),
        reasons=reasons,
    )


def judge_run(folder: Path, faults: list[str] | None = None, cycles: int = 0) -> Run:
    """Judge every `<folder>/<fault>/<NN>/`. `faults` and `cycles` say what should be there: what is missing is not judged.

    Raises Malformed where there is no such folder.
    """
    if not folder.is_dir():
        raise Malformed(f"{folder} is not a folder: give the dated folder of a drill.")
    present = sorted(it.name for it in folder.iterdir() if it.is_dir() and any(sub.is_dir() and sub.name.isdigit() for sub in it.iterdir()))
    names = [*(faults or []), *(name for name in present if name not in (faults or []))]
    summaries = [judge_fault(name, [_cycle(it) for it in _numbered(folder / name)], cycles) for name in names]
    reasons = [f"{it.name}: {reason}" for it in summaries for reason in it.reasons]
    if not summaries:
        reasons.append(f"{folder} holds no fault: nothing was drilled")
    verdict = RED if any(it.verdict == RED for it in summaries) else NOT_JUDGED if reasons else GREEN
    return Run(str(folder), verdict, summaries, reasons)


def _numbered(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else []
    return sorted((it for it in found if it.is_dir() and it.name.isdigit()), key=lambda it: int(it.name))


def _most(values: Iterable[float | None]) -> float | None:
    return max((it for it in values if it is not None), default=None)


def _cycle(folder: Path) -> Judged:
    try:
        return judge_cycle(read_cycle(folder))
    except Malformed as error:
        return Judged(path=str(folder), verdict=NOT_JUDGED, reasons=[str(error)])


def _name(key: tuple[str, int]) -> str:
    return f"{key[0]} number {key[1]}"
