#!/usr/bin/env python3
"""Hands OpenTofu the key of the state, as its external key provider.

The protocol, one line each way: this program prints a header; OpenTofu writes `null` (a key to encrypt with is wanted) or the
metadata of something encrypted (the key that opens it is wanted); this program prints the key and the metadata to store with
what gets encrypted. OpenTofu asks with `null` first, at every command and before it has looked at any state, so whether there is
a state to lose is found out here.

The key lies in the cluster's folder, `${ELEPHANT_HOME:-~/.local/share/elephant}/<cluster>/state.key`, or where
ELEPHANT_STATE_KEY_FILE says. It is made with the first state and never again. docs/state.md is the manual.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
import re
import secrets
import shlex
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HEADER = {"magic": "OpenTofu-External-Key-Provider", "version": 1}
KEY_BYTES = 32
MANUAL = "Put the right one back; docs/state.md tells how, and how to go on without it."


class Refusal(Exception):
    """A sentence for the person at the keyboard."""


@dataclass(frozen=True)
class Lock:
    """What is stored in the clear beside the ciphertext: whose key closed it, and that key's fingerprint."""

    cluster: str
    fingerprint: str


def fingerprint(key: bytes) -> str:
    """Name a key without giving it away: it is random and of full length, so its hash tells nothing."""
    return hashlib.sha256(key).hexdigest()[:16]


def lock_of_metadata(metadata: dict) -> Lock:
    """Read the metadata that this program stored earlier; raises Refusal for anybody else's."""
    data = metadata.get("external_data") or {}
    try:
        return Lock(str(data["cluster"]), str(data["key"]))
    except KeyError:
        raise Refusal("This state was not encrypted by Elephant: its metadata names no cluster.") from None


def state_file() -> Path:
    """The state that this command is about: the default one, or what -state says on tofu's command line or in TF_CLI_ARGS*."""
    words: list[str] = []
    with contextlib.suppress(OSError):  # there is no /proc outside of Linux
        words += Path(f"/proc/{os.getppid()}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    for name in sorted(os.environ):
        if re.match(r"TF_CLI_ARGS($|_)", name):
            words += shlex.split(os.environ[name])
    named = (re.fullmatch(r"--?state(?:=(.+))?", word) for word in words)
    files = [match[1] or following for match, following in zip(named, [*words[1:], ""], strict=True) if match]
    return Path(next(filter(None, files), "terraform.tfstate"))


def lock_of_state(path: Path) -> Lock | None:
    """The lock on a state; None when there is no state or it is not encrypted (then tofu itself refuses it)."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        metadata = next(iter(state["meta"].values()))
    except (FileNotFoundError, KeyError, StopIteration):
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise Refusal(f"Cannot read {path.absolute()}, so it is not known whether a key for it exists: {error}.") from error
    return lock_of_metadata(json.loads(base64.b64decode(metadata)))


def new_states_cluster(variable: str) -> str:
    """The cluster that a new state belongs to: CLUSTER as the playbooks have it, else the variable cluster_name."""
    cluster = os.environ.get("CLUSTER") or variable
    if variable not in ("elephant", cluster):
        raise Refusal(f"CLUSTER is {cluster} and cluster_name is {variable}: set both to the name of the cluster that you mean.")
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", cluster):
        raise Refusal(f"CLUSTER={cluster!r} is no cluster name: use lower-case letters, digits and hyphens, with a letter first.")
    return cluster


def key_file(cluster: str) -> Path:
    """Where the key of a cluster's state lies."""
    if override := os.environ.get("ELEPHANT_STATE_KEY_FILE"):
        return Path(override).expanduser()
    home = os.environ.get("ELEPHANT_HOME") or "~/.local/share/elephant"
    return Path(home).expanduser() / cluster / "state.key"


def read_key(path: Path) -> bytes:
    """The key in a file: 32 bytes in base64. Raises FileNotFoundError, or Refusal when it is not fit for use."""
    try:
        text = path.read_text(encoding="ascii").strip()
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"Cannot read the key of the state, {path}: {error}.") from error
    if mode & stat.S_IRWXO:
        raise Refusal(f"Everybody on this machine can read {path}: run chmod 600 {path}.")
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise Refusal(f"{path} does not hold the {KEY_BYTES} bytes of a key in base64: it was cut or changed. {MANUAL}")
    return key


def make_key(path: Path) -> bytes:
    """Make the key of a new state. Of two that do so at once the first wins, and both get its key."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".state.key.") as draft:  # NamedTemporaryFile makes it 0600
            draft.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            draft.flush()
            os.fsync(draft.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft.name, path)
    except OSError as error:
        raise Refusal(f"Cannot keep the state's key in {path.parent} ({error}): make the folder writable, or set ELEPHANT_HOME.") from error
    return read_key(path)


def key_for(lock: Lock | None, variable: str) -> tuple[bytes, Lock]:
    """The key that fits the lock; without a lock the key of a new state, made if there is none yet."""
    cluster = lock.cluster if lock else new_states_cluster(variable)
    path = key_file(cluster)
    try:
        key = read_key(path)
    except FileNotFoundError:
        if lock:
            raise Refusal(
                f"There is a state of the cluster {cluster}, but the key that opens it is gone: {path}. "
                f"Put it back from a backup or from a colleague. No new key was made: it would not open the state. "
                f"docs/state.md tells how to go on without it."
            ) from None
        if "ELEPHANT_STATE_KEY_FILE" in os.environ:
            raise Refusal(f"ELEPHANT_STATE_KEY_FILE={path} does not exist. Make it with: openssl rand -base64 32 >{path}") from None
        key = make_key(path)
    if lock and lock.fingerprint != fingerprint(key):
        raise Refusal(
            f"{path} is a key ({fingerprint(key)}), but not the one that this state of the cluster {cluster} "
            f"was encrypted with ({lock.fingerprint}). {MANUAL}"
        )
    return key, Lock(cluster, fingerprint(key))


def answer(request: dict | None, variable: str) -> dict:
    """What OpenTofu is to be told for one request."""
    here = lock_of_state(state_file())
    if request is None:
        key, lock = key_for(here, variable)
    else:
        key, lock = key_for(lock_of_metadata(request), variable)
        writes = here.cluster if here else new_states_cluster(variable)
        if lock.cluster != writes:
            raise Refusal(
                f"This state belongs to the cluster {lock.cluster} and would be written back with the key of {writes}: "
                f"export CLUSTER={lock.cluster}."
            )
    text = base64.b64encode(key).decode()
    keys = {"encryption_key": text} if request is None else {"encryption_key": text, "decryption_key": text}
    return {"keys": keys, "meta": {"external_data": {"cluster": lock.cluster, "key": lock.fingerprint}}}


def main() -> None:
    """Serve one request on standard input and output."""
    print(json.dumps(HEADER), flush=True)
    try:
        print(json.dumps(answer(json.loads(sys.stdin.readline()), sys.argv[1] if len(sys.argv) > 1 else "elephant")))
    except Refusal as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main()
