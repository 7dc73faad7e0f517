"""Programs that outlive the connection which started them: transient units of systemd's."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent
FOLDER = PROGRAM.parent
# Seconds after which a unit ends by itself, beyond the longest cycle: nobody may be left to end it.
LONGEST = 3600


def run(*words: str | Path, check: bool = True) -> str:
    """What a program prints; raises with what it said on standard error."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout


def start(unit: str, verb: str, words: dict, user: str = "root") -> None:
    """Run this program with a verb as a unit. Raises where one of that name runs still."""
    run("systemctl", "reset-failed", unit, check=False)
    run(
        *("systemd-run", "--quiet", f"--unit={unit}", "--collect", f"--uid={user}"),
        *("--property=KillMode=mixed", "--property=TimeoutStopSec=10", f"--property=RuntimeMaxSec={LONGEST}"),
        *("--property=NoNewPrivileges=yes", "--property=ProtectHome=yes", "/usr/bin/python3", PROGRAM, verb, json.dumps(words)),
    )


def runs(unit: str) -> bool:
    """Whether it does now."""
    return run("systemctl", "is-active", unit, check=False).strip() == "active"


def stop(unit: str) -> None:
    """End it and wait; not to run is fine."""
    run("systemctl", "stop", unit, check=False)


def later(unit: str, seconds: float, verb: str) -> None:
    """Run a verb after so many seconds, whatever becomes of whoever asked. A boot forgets it, as it forgets what the verb would undo."""
    run("systemctl", "stop", f"{unit}.timer", check=False)
    run("systemctl", "reset-failed", f"{unit}.service", check=False)
    run(
        *("systemd-run", "--quiet", f"--unit={unit}", f"--on-active={seconds:.0f}s", "--timer-property=AccuracySec=1s", "--collect"),
        *("/usr/bin/python3", PROGRAM, verb),
    )


def etcdctl_environment(endpoints: str) -> dict[str, str]:
    """What etcdctl is told to ask all of these as root."""
    lines = Path("/etc/elephant/etcdctl.env").read_text().splitlines()
    return os.environ | dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#") | {"ETCDCTL_ENDPOINTS": endpoints}


def packed(folder: Path) -> str:
    """A folder of records for the way to the controller."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for file in sorted(folder.glob("*.json*")):
            archive.add(file, file.name)
    return base64.b64encode(whole.getvalue()).decode()
