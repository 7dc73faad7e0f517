"""The faults that are done on a host, and how each is undone.

All that they change is forgotten by a boot: signals, a table of nftables that is in no file, a unit's drop-in in /run, limits of processes.
`heal` undoes all of them, whichever there are; a timer that outlives the controller calls it too.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import door
import units

TIMER = "elephant-drill-heal"
TABLE = "inet elephant_drill"
HELD = Path("/run/systemd/system/patroni.service.d/elephant-drill.conf")
# Units that the drill stopped and has to start again.
STOPPED = Path("/run/elephant-drill-stopped")


def processes(user: str = "postgres") -> Iterator[tuple[int, str, str]]:
    """(pid, state, command line) of each process of a user."""
    uid = pwd.getpwnam(user).pw_uid
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == uid:
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                yield int(folder.name), state, (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


@contextlib.contextmanager
def acting_as(user: str = "postgres") -> Iterator[None]:
    """The limits of a process are changed by its own user: root would need CAP_SYS_RESOURCE, which a container does not have."""
    entry = pwd.getpwnam(user)
    os.setresgid(entry.pw_gid, entry.pw_gid, 0)
    os.setresuid(entry.pw_uid, entry.pw_uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def limit_files(pids: list[int], limit: int | None) -> None:
    """No write beyond so many bytes of any file; None lifts that."""
    with acting_as():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if limit is None else limit, hard))


def send(number: int, pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def postmaster(data: str) -> int:
    return int((Path(data) / "postmaster.pid").read_text().split()[0])


def patroni() -> int:
    return int(units.run("systemctl", "show", "--property=MainPID", "--value", "patroni.service"))


def servers() -> list[int]:
    """The postmaster and its children, without Patroni and the drill's own observer."""
    return [pid for pid, _, line in processes() if line.startswith("postgres:") or "/bin/postgres " in line]


def arm(deadline: float) -> dict[str, Any]:
    """Whatever happens to the controller, this host heals itself after so many seconds."""
    units.later(TIMER, deadline, "heal")
    return {"at": time.time()}


def kill_postmaster(data: str, away_from: str = "", after: float = 0.5) -> dict[str, Any]:
    """As a crash: every backend follows. The standby at `away_from` receives nothing from so many seconds before."""
    if away_from:
        chain = f"chain output {{ type filter hook output priority -20; policy accept; ip daddr {away_from} tcp sport 5432 drop; }}"
        units.run("nft", f"table {TABLE} {{\n{chain}\n}}")
        time.sleep(after)
    at = time.time()
    os.kill(postmaster(data), signal.SIGKILL)
    return {"at": at}


def kill_patroni() -> dict[str, Any]:
    """Its unit starts it again."""
    at = time.time()
    os.kill(patroni(), signal.SIGKILL)
    return {"at": at}


def hold_patroni() -> dict[str, Any]:
    """Killed, and not started again: PostgreSQL runs on with nobody to watch it."""
    HELD.parent.mkdir(parents=True, exist_ok=True)
    HELD.write_text("[Service]\nRestart=no\n")
    units.run("systemctl", "daemon-reload")
    at = time.time()
    os.kill(patroni(), signal.SIGKILL)
    return {"at": at}


def freeze(with_patroni: bool) -> dict[str, Any]:
    """SIGSTOP to all at once; again for those that were born meanwhile."""
    at = time.time()
    for _ in range(3):
        send(signal.SIGSTOP, ([patroni()] if with_patroni else []) + servers())
    return {"at": at}


def cut(addresses: list[str], ports: list[int], ssh: int = 22) -> dict[str, Any]:
    """No packet from or to these addresses; with `ports` only those of these ports of theirs. No address means everybody: all but SSH.

    `ssh` is the port by which the host is healed."""
    rules = []
    for way, side in (("input", "s"), ("output", "d")):
        port = f"tcp {side}port {{ {', '.join(map(str, ports))} }} " if ports else ""
        lines = [f"ip {side}addr {address} {port}drop" for address in addresses] or ["iif lo accept" if way == "input" else "oif lo accept"]
        if not addresses:
            lines += [f"tcp dport {ssh} accept", f"tcp sport {ssh} accept", "drop"]
        rules.append(f"chain {way} {{ type filter hook {way} priority -20; policy accept; {'; '.join(lines)}; }}")
    at = time.time()
    units.run("nft", "\n".join([f"table {TABLE} {{", *rules, "}"]))
    return {"at": at}


def stop_unit(unit: str, kill: bool = False) -> dict[str, Any]:
    """Stopped until it is healed; or with `kill` killed, and left to its own Restart."""
    at = time.time()
    if kill:
        units.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)
    else:
        with STOPPED.open("a") as file:
            file.write(f"{unit}\n")
        units.run("systemctl", "stop", unit)
    return {"at": at}


def fill(limit: int = 1 << 20) -> dict[str, Any]:
    """No process of PostgreSQL's or Patroni's may write beyond the first MiB of any file: a full disk for WAL, and for nobody else."""
    at = time.time()
    for _ in range(2):
        limit_files([patroni(), *servers()], limit)
    return {"at": at}


def hold_walreceiver(seconds: float) -> dict[str, Any]:
    """The standby receives nothing for so long: what the leader writes meanwhile, nobody has."""
    pids = [pid for pid, _, line in processes() if line.startswith("postgres:") and "walreceiver" in line]
    try:
        send(signal.SIGSTOP, pids)
        time.sleep(seconds)
    finally:
        send(signal.SIGCONT, pids)
    return {"at": time.time(), "held": len(pids)}


def heal() -> dict[str, Any]:
    """Undo whatever is there to undo. Says when the last of it was undone."""
    units.run("nft", "destroy", "table", *TABLE.split(), check=False)
    with contextlib.suppress(KeyError):
        send(signal.SIGCONT, [pid for pid, state, _ in processes() if state == "T"])
        # Twice, as it was filled: a process that was forked meanwhile has its parent's limit.
        for _ in range(2):
            limit_files([pid for pid, _, _ in processes()], None)
    if HELD.exists():
        HELD.unlink()
        units.run("systemctl", "daemon-reload")
        units.run("systemctl", "start", "patroni.service")
    if STOPPED.exists():
        for unit in sorted(set(STOPPED.read_text().split())):
            units.run("systemctl", "start", "--no-block", unit)
        STOPPED.unlink()
    at = time.time()
    units.stop(f"{TIMER}.timer")
    return {"at": at}


def leave() -> dict[str, Any]:
    """All of the drill goes from this host: faults, units, tables, the way in, programs and records."""
    heal()
    for unit in ("elephant-drill-clients", "elephant-drill-observer"):
        units.stop(unit)
    door.close()
    if (units.FOLDER / "clients.json").exists():
        import clients

        clients.clean()
    shutil.rmtree(units.FOLDER)
    return {"at": time.time()}


VERBS = {
    "arm": arm,
    "kill-postmaster": kill_postmaster,
    "kill-patroni": kill_patroni,
    "hold-patroni": hold_patroni,
    "freeze": freeze,
    "cut": cut,
    "stop-unit": stop_unit,
    "fill": fill,
    "hold-walreceiver": hold_walreceiver,
    "heal": heal,
    "leave": leave,
}
