"""What the etcd modules share: the declared members, and how to ask them over mutual TLS."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENT_PORT = 2379
PEER_PORT = 2380
HEALTHY = "healthy"

CLUSTER_OPTION: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "members": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
        },
        "ca_file": {"type": "path", "required": True},
        "certificate_file": {"type": "path", "required": True},
        "key_file": {"type": "path", "required": True, "no_log": False},
        "binaries": {"type": "path", "default": "/usr/bin"},
    },
}


class EtcdError(Exception):
    """What etcd, or the way to it, answered instead of what was asked for."""


@dataclass(frozen=True)
class Member:
    """One row of etcd's own member list; a member that was added and never started has no name."""

    id: str
    name: str
    address: str
    learner: bool
    started: bool


def url(address: str, port: int) -> str:
    """The HTTPS URL of an address; an IPv6 address gets its brackets."""
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"


def address_of(peer_url: str) -> str:
    """The address in a peer URL, without brackets and port."""
    return peer_url.split("//", 1)[-1].rsplit(":", 1)[0].strip("[]")


class Cluster:
    """The declared members as clients see them, with the certificate that may administer them."""

    def __init__(self, option: Mapping[str, Any]) -> None:
        self.addresses: dict[str, str] = {it["name"]: it["address"] for it in option["members"]}
        self.files = {"cacert": option["ca_file"], "cert": option["certificate_file"], "key": option["key_file"]}
        self.binaries = Path(option["binaries"])
        own = self.binaries / "etcdctl"
        # While another version is on its way to its own directory, the one that is there will do.
        self.client = str(own) if own.is_file() else shutil.which("etcdctl", path="/usr/local/bin:/usr/bin")

    def has_certificates(self) -> bool:
        """Whether there is anything to identify with yet."""
        return all(Path(path).is_file() for path in self.files.values())

    def tls(self) -> ssl.SSLContext:
        """A client context that trusts the cluster's CA alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.files["cacert"])
        context.load_cert_chain(self.files["cert"], self.files["key"])
        return context

    def health(self, timeout: float = 2) -> dict[str, str]:
        """For each declared member `healthy`, or in words why not. All are asked at the same time."""
        with ThreadPoolExecutor(max_workers=len(self.addresses)) as pool:
            states = pool.map(lambda address: self._health(address, timeout), self.addresses.values())
            return dict(zip(self.addresses, states, strict=True))

    def running_version(self, name: str, timeout: float = 2) -> str:
        """What a member's server calls itself; empty when it does not say."""
        if not self.has_certificates() or name not in self.addresses:
            return ""
        try:
            return str(self._get(self.addresses[name], "/version", timeout).get("etcdserver", ""))
        except (OSError, http.client.HTTPException, ValueError):
            return ""

    def endpoints(self, health: Mapping[str, str]) -> list[str]:
        """Client URLs of the healthy members."""
        return [url(self.addresses[name], CLIENT_PORT) for name, state in health.items() if state == HEALTHY]

    def etcdctl(self, endpoints: Sequence[str], *command: str, stdin: str | None = None, user: tuple[str, str] | None = None) -> Any:
        """Run etcdctl as the certificate's user, or as one by password, and return its JSON. Raises EtcdError with etcd's own words."""
        options = [f"--{name}={path}" for name, path in self.files.items()]
        run = subprocess.run(
            [
                self.client or "etcdctl",
                "--endpoints",
                ",".join(endpoints),
                "--command-timeout=30s",
                "--dial-timeout=20s",
                *options,
                "--write-out=json",
                *command,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            # Whatever the caller's shell says about etcdctl must not steer it here. A password stands in no process list.
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "ETCDCTL_API": "3"}
            | (dict(zip(("ETCDCTL_USER", "ETCDCTL_PASSWORD"), user, strict=True)) if user else {}),
        )
        if run.returncode != 0:
            raise EtcdError(f"etcdctl {' '.join(command[:3])}: {_last_words(run.stderr)}")
        try:
            return json.loads(run.stdout)
        except ValueError:
            return {}

    def members(self, endpoints: Sequence[str]) -> tuple[str, list[Member]]:
        """The cluster's id and its members, as the cluster itself has them."""
        answer = self.etcdctl(endpoints, "member", "list")
        # A member tells its client URLs when it first starts.
        rows = [
            Member(
                f"{it['ID']:x}", it.get("name", ""), address_of(it["peerURLs"][0]), it.get("isLearner", False), bool(it.get("clientURLs"))
            )
            for it in answer["members"]
        ]
        return f"{answer['header']['cluster_id']:x}", rows

    def wait_until_healthy(self, name: str, timeout: float) -> str:
        """Wait for one member; returns `healthy` or the last reason why not."""
        deadline = time.monotonic() + timeout
        while (state := self._health(self.addresses[name], 2)) != HEALTHY and time.monotonic() < deadline:
            time.sleep(0.2)
        return state

    def _health(self, address: str, timeout: float) -> str:
        try:
            answer = self._get(address, "/health", timeout)
        except OSError as error:
            return f"no answer ({error})"
        except (http.client.HTTPException, ValueError) as error:
            return f"no sense in its answer ({error})"
        return HEALTHY if answer.get("health") == "true" else answer.get("reason") or "unhealthy"

    def _get(self, address: str, path: str, timeout: float) -> Any:
        connection = http.client.HTTPSConnection(address, CLIENT_PORT, timeout=timeout, context=self.tls())
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def _last_words(stderr: str) -> str:
    """The sentence in etcdctl's last line: JSON with an `error`, or `Error: ...`."""
    line = (stderr.strip().splitlines() or ["no word why"])[-1]
    try:
        return json.loads(line)["error"]
    except (ValueError, KeyError, TypeError):
        return line.removeprefix("Error: ")


def systemctl(*command: str, timeout: float = 180) -> str:
    """Run systemctl and return what it printed. Raises EtcdError with its words."""
    try:
        run = subprocess.run(["systemctl", *command], capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise EtcdError(f"systemctl {' '.join(command)} did not come back within {timeout:.0f} s") from error
    if run.returncode != 0:
        raise EtcdError(f"systemctl {' '.join(command)}: {run.stderr.strip()}")
    return run.stdout


def unit_state(unit: str) -> dict[str, str]:
    """The properties of a unit that the modules judge by; a unit that does not exist is inactive."""
    properties = "ActiveState,UnitFileState,LoadState,ExecMainStartTimestampMonotonic"
    return dict(line.split("=", 1) for line in systemctl("show", unit, f"--property={properties}").splitlines() if "=" in line)


def restart_reasons(unit: str, files: Sequence[str], binary: Path) -> list[str]:
    """Why a running unit does not run with what is on the disk: files that were written, or a binary that was put there, since."""
    state = unit_state(unit)
    if state["ActiveState"] != "active":
        return []
    since = int(state["ExecMainStartTimestampMonotonic"]) / 1e6
    started = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + since
    reasons = [path for path in files if Path(path).is_file() and Path(path).stat().st_mtime > started]
    # A package's binary keeps the time of its build; when it came to this host is the time of its inode.
    return [*reasons, *([str(binary)] if binary.is_file() and binary.stat().st_ctime > started else [])]


def journal(unit: str, lines: int = 8) -> str:
    """The end of a unit's journal, for a message that has to say why."""
    run = subprocess.run(
        ["journalctl", "--unit", unit, "--lines", str(lines), "--no-pager", "--output=cat"], capture_output=True, text=True, check=False
    )
    return run.stdout.strip()
