"""Made-up histories: one tale of a crash that went well, as the recorders write it, for each test to spoil in its own way."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader

with warnings.catch_warnings():
    # tests/unit may have done it before in the same process.
    warnings.simplefilter("ignore")
    init_plugin_loader([str(Path(__file__).parents[2] / ".collections")])

START = 1_700_000_000.0
STEP = 0.1


class Tale:
    """Seconds are since START: db-1 leads on timeline 1 and is lost at 10; db-2 leads on timeline 2 from 11.5.

    Healed at 15, whole at 18, over at 25.
    """

    def __init__(self, crash: float = 10.0, promoted: float = 11.5, over: float = 25.0) -> None:
        self.fault: dict[str, Any] = {
            "fault": "crash", "node": "db-1", "title": "PostgreSQL killed on the primary",
            "armed": START + crash - 0.2, "injected": START + crash, "healed": START + 15, "whole": START + 18,
            "settings": {"ttl": 20, "loop_wait": 1, "retry_timeout": 5}, "bound": 3.5, "load": {}, "old_primary": "rewound", "errors": [],
            "moves": True,
        }  # fmt: skip
        self.attempts: list[dict[str, Any]] = []
        for sequence in range(int(over / STEP)):
            at = sequence * STEP
            for client, shift in (("any-0", 0.0), ("any-1", STEP / 2)):
                began = at + shift
                if began < crash:
                    self.attempt(client, sequence, began, "ok", server="db-1", timeline=1)
                elif began < promoted:
                    self.attempt(client, sequence, began, "unknown" if began < crash + STEP else "failed", sqlstate="57P01")
                else:
                    self.attempt(client, sequence, began, "ok", server="db-2", timeline=2)
            for node, leads in (("db-1", at < crash), ("db-2", at >= promoted)):
                server = {"server": node, "timeline": 1 if node == "db-1" else 2} if leads else {"sqlstate": "25006"}
                self.attempt(f"node-{node}", sequence, at, "ok" if leads else "failed", **server)
        ticks = [tick * STEP for tick in range(int(over / STEP))]
        self.clock = {"db-1": 0.0, "db-2": 0.0}
        self.observers: dict[str, list[dict[str, Any]]] = {
            "db-1": [
                self.sample(at, at < crash or at > 15, at > 15, 1 if at < crash else 2, ["db-2"] if at < crash else []) for at in ticks
            ],
            "db-2": [self.sample(at, True, at < promoted - 0.3, 2 if at >= promoted else 1, ["db-1"] if at > 18 else []) for at in ticks],
        }
        self.etcd = [{"at": START + at, "leader": "db-1" if at < crash + 1 else "db-2"} for at in ticks]
        self.rows = [self.row(it) for it in self.attempts if it["outcome"] == "ok"]
        self.rows_again: list[dict[str, Any]] | None = [dict(it) for it in self.rows]

    def attempt(self, client: str, sequence: int, at: float, outcome: str, **more: Any) -> dict[str, Any]:
        """Add one attempt that took 10 ms."""
        it = {"client": client, "sequence": sequence, "started": START + at, "ended": START + at + 0.01, "outcome": outcome}
        it |= {"sqlstate": None, "error": None, "server": None, "timeline": None} | more
        self.attempts.append(it)
        return it

    @staticmethod
    def sample(at: float, up: bool, recovery: bool, timeline: int, synchronous: list[str]) -> dict[str, Any]:
        """What an observer writes."""
        seen = {"recovery": recovery, "timeline": timeline} if up else {"recovery": None, "timeline": None}
        return {"at": START + at, "up": up, "synchronous": synchronous} | seen

    @staticmethod
    def row(attempt: dict[str, Any]) -> dict[str, Any]:
        """The row that an attempt leaves."""
        return {"client": attempt["client"], "sequence": attempt["sequence"], "count": 1}

    def first(self, **wanted: Any) -> dict[str, Any]:
        """The first attempt with these values."""
        return next(it for it in self.attempts if all(it[key] == value for key, value in wanted.items()))

    def drop(self, attempt: dict[str, Any], again: bool = True, after: bool = True) -> None:
        """Take the row of an attempt out of the readings of the table."""
        for rows, wanted in ((self.rows, after), (self.rows_again, again)):
            if wanted and rows is not None:
                rows[:] = [it for it in rows if (it["client"], it["sequence"]) != (attempt["client"], attempt["sequence"])]

    def write(self, folder: Path) -> Path:
        """Leave it on disk as the recorders do."""
        folder.mkdir(parents=True)
        (folder / "fault.json").write_text(json.dumps(self.fault))
        (folder / "clock.json").write_text(json.dumps(self.clock))
        for client in {it["client"] for it in self.attempts}:
            self.lines(folder / f"writer-{client}.jsonl", [it for it in self.attempts if it["client"] == client])
        for node, samples in self.observers.items():
            self.lines(folder / f"observer-{node}.jsonl", samples)
        self.lines(folder / "observer-etcd.jsonl", self.etcd)
        self.lines(folder / "rows.jsonl", self.rows)
        if self.rows_again is not None:
            self.lines(folder / "rows-again.jsonl", self.rows_again)
        return folder

    @staticmethod
    def lines(file: Path, records: list[dict[str, Any]]) -> None:
        """One object a line."""
        file.write_text("".join(json.dumps(it) + "\n" for it in records))


@pytest.fixture
def tale() -> Tale:
    """A crash that went well."""
    return Tale()


@pytest.fixture
def judged(tmp_path) -> Callable[[Tale], Any]:
    """What the judge says of a tale."""
    from ansible_collections.elephant.ha.plugins.module_utils.drill import history, judge

    return lambda tale: judge.judge_cycle(history.read_cycle(tale.write(tmp_path / "run/crash/01")))
