"""The Docker engine: found, or started where no init does it."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import docker
from docker.errors import DockerException

from local.paths import cache
from local.say import Refusal, say, stage, tail
from local.vultr import engine as machines

_PATIENCE = 60.0


def client() -> docker.DockerClient:
    """A client of the engine that answers. Raises Refusal when none does."""
    try:
        found = docker.from_env(timeout=120)
        found.ping()
    except (DockerException, OSError) as error:
        raise Refusal(_why(error)) from error
    return found


def answers() -> bool:
    """True when an engine answers."""
    try:
        client()
    except Refusal:
        return False
    return True


def provide() -> docker.DockerClient:
    """A client of the engine, which is started first when it is installed but does not run and this is root."""
    if not answers() and os.geteuid() == 0 and not os.environ.get("DOCKER_HOST") and shutil.which("dockerd"):
        with stage("starting the Docker engine"):
            _start()
    return client()


def remove_all(cluster: str) -> list[str]:
    """Remove what carries the cluster's label; returns what that was. Raises Refusal when the engine does not answer."""
    try:
        return machines.remove_all(cluster)
    except machines.EngineError as error:
        raise Refusal(str(error)) from error


def _start() -> None:
    log = cache() / "log/dockerd.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], check=False)
    else:
        say(f"No init runs here, so the engine is started by hand; its log: {log}")
        with log.open("a") as file:
            subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, cwd="/")
    deadline = time.monotonic() + _PATIENCE
    while not answers():
        if time.monotonic() > deadline:
            say(tail(log))
            raise Refusal(
                f"The Docker engine was started and did not answer within {_PATIENCE:.0f} s; look at {log} or `journalctl -u docker`."
            )
        time.sleep(0.3)


def _why(error: Exception) -> str:
    if "Permission" in str(error):
        return "This user may not talk to the Docker engine: run make as root, or sudo usermod -aG docker $USER and log in again."
    if shutil.which("dockerd") and os.geteuid() != 0:
        return "The Docker engine is installed but does not run: start it with `sudo systemctl start docker`, then run make again."
    return "No Docker engine answers: apt-get install docker.io as root (make does that itself when root runs it), or set DOCKER_HOST."
