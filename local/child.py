"""Start programs: their output goes to a log, and a failure ends in a sentence with the log's tail."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.paths import CHECKOUT
from local.say import Refusal, say, tail

Words = Sequence[str | Path]


def run(
    words: Words,
    env: Mapping[str, str],
    log: Path,
    failed: str,
    cwd: Path = CHECKOUT,
    each_line: Callable[[str], None] | None = None,
) -> None:
    """Run a program to its end; `each_line` sees every line as it comes.

    Raises Refusal with `failed` when the program does not exit with 0, after the tail of its log was shown.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", errors="replace") as file,
        subprocess.Popen(
            [str(word) for word in words],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                if each_line:
                    each_line(line.rstrip("\n"))
        except BaseException as error:
            # The terminal has sent the child the same ^C; a second one would make tofu drop its state. Of anything else it knows nothing.
            if not isinstance(error, KeyboardInterrupt):
                process.send_signal(signal.SIGINT)
            process.communicate()
            raise
    if process.returncode != 0:
        say(tail(log))
        why = f"signal {signal.Signals(-process.returncode).name}" if process.returncode < 0 else f"exit code {process.returncode}"
        raise Refusal(f"{failed} ({why}; the whole log: {log})")


def answer(words: Words, env: Mapping[str, str] | None = None, cwd: Path = CHECKOUT) -> str | None:
    """What a program prints, or None when it is missing or fails."""
    try:
        ended = subprocess.run(
            [str(word) for word in words], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return ended.stdout


def become(words: Words, env: Mapping[str, str]) -> None:
    """Turn into a program that needs the terminal: ssh, psql, a shell."""
    os.chdir(CHECKOUT)
    os.execvpe(str(words[0]), [str(word) for word in words], dict(env))
