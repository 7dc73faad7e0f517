"""elephant-health [--json | --service | --hook]: how this host is. Exit code 0, 1 (warning) or 2 (critical); 3: it could not tell.

Plain, it prints one line; with --json all that was seen. --service is the timer's: it also keeps the result and writes the textfile.
--hook is run when the service failed: it calls the hook, once for each change of what is wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import sight
import telling
from conditions import CRITICAL, Problem, judge

SETTINGS = Path("/etc/elephant/health.json")


def main(how: str = "") -> int:
    """Look, judge, tell."""
    if how not in ("", "--json", "--service", "--hook"):
        print(__doc__)
        return 0 if how in ("-h", "--help") else 3
    settings = json.loads(SETTINGS.read_text())
    if how == "--hook":
        return hook(settings)
    seen = sight.look(settings)
    problems = judge(seen, settings["limits"], time.time())
    told = telling.document(seen, problems)
    if how == "--service":
        keep(settings, told, telling.metrics(seen, problems))
    print(json.dumps(told) if how == "--json" else told["line"])
    return telling.level(problems)


def keep(settings: dict[str, Any], told: dict[str, Any], metrics: str) -> None:
    """Leave the result for others; a good one ends the alarm."""
    sight.STATE.mkdir(exist_ok=True)
    telling.put(sight.STATE / "health.json", json.dumps(told) + "\n")
    if not told["problems"]:
        (sight.STATE / "alarmed").unlink(missing_ok=True)
    folder = Path(settings["textfile"]) if settings["textfile"] else None
    if folder and folder.is_dir():
        telling.put(folder / "elephant.prom", metrics)


def hook(settings: dict[str, Any]) -> int:
    """Call it with the result on standard input, unless it knows of the same already."""
    told, alarmed = result(settings), sight.STATE / "alarmed"
    # Not the sentences, in which numbers change with every look.
    wrong = "\n".join(sorted({f"{it['condition']} {it['level']} {it['about']}" for it in json.loads(told)["problems"]}))
    if settings["hook"] and wrong and not (alarmed.exists() and alarmed.read_text() == wrong):
        subprocess.run(settings["hook"], input=told, text=True, check=True, timeout=60)
        alarmed.write_text(wrong)
    return 0


def result(settings: dict[str, Any]) -> str:
    """What the service kept; where it ended otherwise than by a judgement, that, for what it kept is older."""
    ended = os.environ.get("MONITOR_EXIT_STATUS", "1")
    if ended in ("0", "1", "2"):
        return (sight.STATE / "health.json").read_text()
    sentence = f"elephant-health could not tell how this host is, it ended with {ended}: journalctl --unit=elephant-health.service"
    seen = {"name": settings["name"], "at": time.time()}
    return json.dumps(telling.document(seen, [Problem("answers", CRITICAL, sentence, "elephant-health")]))


if __name__ == "__main__":
    try:
        code = main(*sys.argv[1:])
    except Exception:
        traceback.print_exc()
        # Python's own 1 would be a warning.
        code = 3
    sys.exit(code)
