"""How the console talks: stages with their seconds, and refusals as sentences."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Refusal(Exception):
    """What the person at the keyboard should read instead of a traceback: one sentence, with the fix."""


def say(text: str) -> None:
    """Print a line for the person. Standard output stays free for what a program reads (`make env`)."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def stage(name: str, into: dict[str, float] | None = None) -> Iterator[None]:
    """Announce nothing, do the work, then print its seconds; `into` collects them by name."""
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    if into is not None:
        into[name] = seconds
    say(f"{seconds:5.0f} s  {name}")


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log, for a person who was told that something failed."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
