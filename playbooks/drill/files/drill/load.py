"""The load beside the clients: pgbench, at half of what the cluster was measured to bear, and a large transaction that is always open."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from pathlib import Path

PGBENCH = Path(__file__).resolve().parent.parent / "pgbench"
SESSIONS = 4


def words(conninfo: str, *more: str) -> list[str]:
    """A call of pgbench whose tables lie in the drill's own schema."""
    return [str(PGBENCH), *more, f"{conninfo} options=-csearch_path=elephant_drill"]


def measure(conninfo: str, scale: int, seconds: int) -> float:
    """Fill the tables, then transactions in a second at full speed."""
    # Made by the server itself: nothing of it crosses the network.
    fill = words(conninfo, "--initialize", "--quiet", "--init-steps=dtGvp", f"--scale={scale}")
    subprocess.run(fill, check=True, capture_output=True, text=True)
    call = words(conninfo, "--no-vacuum", f"--client={SESSIONS}", f"--time={seconds}")
    said = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    return float(found[1]) if found else 0.0


class Transactions(threading.Thread):
    """pgbench at a rate; it gives up when it loses its connections, and begins again."""

    def __init__(self, conninfo: str, rate: float) -> None:
        super().__init__(name="pgbench", daemon=True)
        self.call = words(conninfo, "--no-vacuum", f"--client={SESSIONS}", f"--rate={max(1.0, rate):.1f}", "--time=3600")
        self.process: subprocess.Popen | None = None
        self.ended = False

    def run(self) -> None:
        while not self.ended:
            self.process = subprocess.Popen(self.call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.process.wait()
            time.sleep(0.5)

    def end(self) -> None:
        """Stop it."""
        self.ended = True
        if self.process is not None:
            self.process.terminate()


class Bulk(threading.Thread):
    """What a failure finds half done. It writes to a table of its own and never commits."""

    def __init__(self, conninfo: str, rows: int) -> None:
        super().__init__(name="bulk", daemon=True)
        self.conninfo, self.rows = conninfo, rows

    def run(self) -> None:
        import psycopg

        while True:
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.conninfo) as conn:
                for _ in range(max(1, self.rows // 1000)):
                    conn.execute("INSERT INTO elephant_drill.bulk SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 1000) n")
                    time.sleep(0.05)
                time.sleep(1)
                conn.rollback()
            time.sleep(0.5)
