"""The local Vultr as a process: started detached, known again by what it was told, stopped."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx

from local import environment
from local.paths import CHECKOUT, Cluster
from local.say import Refusal, say, tail

_PATIENCE = 60.0
HEADER = "X-Elephant-Local-Vultr"


def provide(cluster: Cluster) -> None:
    """The local Vultr of the cluster answers: started unless it runs. Raises Refusal with the reason when it cannot."""
    if running(cluster) is None:
        refuse_a_taken_port(cluster)
        _start(cluster)
    _wait(cluster)


def running(cluster: Cluster) -> int | None:
    """The process id of the cluster's local Vultr, or None.

    It is known by what it was told (its state folder), not by a recorded id: an id can be somebody else's by now, and a record can be
    missing when whoever started it was interrupted.
    """
    ours = f"ELEPHANT_VULTR_STATE={cluster.vultr}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "environ").read_bytes().split(b"\0")
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if ours in told and (b"local.vultr" in words or b"local/vultr/addon.py" in words):
            return int(folder.name)
    return None


def refuse_a_taken_port(cluster: Cluster) -> None:
    """Raises Refusal when somebody else listens where the local Vultr should."""
    port = environment.port(cluster)
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError as error:
            raise Refusal(
                f"Port {port} on 127.0.0.1 is taken ({error.strerror}), and the local Vultr needs it: stop what listens there "
                f"(ss -ltnp 'sport = :{port}' names it), or choose another with ELEPHANT_VULTR_PORT=…"
            ) from error


def health(cluster: Cluster) -> dict | None:
    """What the local Vultr says of itself, or None when nobody answers. Raises Refusal when somebody else answers."""
    ca = environment.certificate(cluster)
    if not ca.exists():
        return None
    try:
        with httpx.Client(
            proxy=environment.proxy(cluster), verify=ssl.create_default_context(cafile=str(ca)), trust_env=False, timeout=10
        ) as client:
            answer = client.get("https://api.vultr.com/_emu/health")
            said = answer.json()
    except (httpx.HTTPError, ValueError, OSError):
        return None
    if answer.headers.get(HEADER) != cluster.name or said.get("local_vultr") is not True:
        raise Refusal(
            f"What answers as api.vultr.com at {environment.proxy(cluster)} is not the local Vultr of cluster {cluster.name}: "
            "nothing was sent to it. Stop what listens there, then run make up."
        )
    return said


def insist(cluster: Cluster) -> None:
    """Raises Refusal unless the API that clients of this cluster would talk to is its own local Vultr."""
    environment.api_key(cluster)
    if health(cluster) is None:
        was = "does not answer" if running(cluster) else "is not running"
        raise Refusal(
            f"The local Vultr of cluster {cluster.name} {was}: make up starts it again and leaves the machines as they are "
            f"(its log: {_log(cluster)})."
        )


def stop(cluster: Cluster) -> bool:
    """End the cluster's local Vultr, if it is ours and lives; True when there was something to end."""
    pid = running(cluster)
    if pid is None:
        return False
    for sign, patience in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while running(cluster) is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        if running(cluster) is None:
            break
    return True


def peak_memory(cluster: Cluster) -> int | None:
    """The most memory that the local Vultr ever held, in bytes (VmHWM of proc_pid_status(5))."""
    pid = running(cluster)
    if pid is None:
        return None
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _start(cluster: Cluster) -> None:
    log = _log(cluster)
    log.parent.mkdir(parents=True, exist_ok=True)
    (cluster.folder / "port").write_text(str(environment.port(cluster)))
    with log.open("a") as file:
        started = subprocess.Popen(
            [sys.executable, "-m", "local.vultr", "serve"],
            cwd=CHECKOUT,
            env=environment.local_vultr(cluster),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    # Reaped here while this process lives, by init afterwards.
    _children[cluster.name] = started


_children: dict[str, subprocess.Popen] = {}


def _wait(cluster: Cluster) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (said := health(cluster)) is None:
        if _ended(cluster) or time.monotonic() > deadline:
            say(tail(_log(cluster)))
            raise Refusal(f"The local Vultr of cluster {cluster.name} did not come up; its log: {_log(cluster)}")
        time.sleep(0.2)
    if not said.get("healthy"):
        raise Refusal(f"The local Vultr cannot work: {' '.join(said.get('problems', [])) or 'it does not say why'}")


def _ended(cluster: Cluster) -> bool:
    """True when what was started here has exited, or nothing runs at all."""
    if cluster.name in _children:
        return _children[cluster.name].poll() is not None
    return running(cluster) is None


def _log(cluster: Cluster) -> Path:
    return cluster.log / "vultr.log"
