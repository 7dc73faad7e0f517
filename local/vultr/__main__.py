"""`python -m local.vultr serve` and `python -m local.vultr remove-all`."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from pathlib import Path

from local.vultr.app import read_key
from local.vultr.ca import ensure_authority
from local.vultr.config import Config, ConfigError
from local.vultr.engine import EngineError, remove_all
from local.vultr.state import Store

ADDON = Path(__file__).with_name("addon.py")


def command(config: Config) -> list[str]:
    """The command line of the server."""
    settings = {"confdir": str(config.proxy_folder), "connection_strategy": "lazy", "upstream_cert": "false"}
    flags = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    mitmdump = Path(sys.executable).with_name("mitmdump")
    return [str(mitmdump), "-q", "--listen-host", "127.0.0.1", "--listen-port", str(config.port), *flags, "-s", str(ADDON)]


def serve(config: Config) -> None:
    """Make what the server needs, then become it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", config.port))
        except OSError as error:
            raise ConfigError(
                f"Port {config.port} of 127.0.0.1 cannot be had ({error.strerror}): set ELEPHANT_VULTR_PORT to a free one."
            ) from error
    read_key(config)
    _hold(config)
    ensure_authority(config.proxy_folder, config.cluster)
    Store(config.state / "state.json")
    line = command(config)
    if not Path(line[0]).exists():
        raise ConfigError(f"There is no {line[0]}: install local/requirements.txt with the Python that runs this.")
    os.execv(line[0], line)


def _hold(config: Config) -> None:
    """Two processes must not write one state file: hold a lock that outlives the exec and ends with the process."""
    lock = os.open(config.state / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(f"Another local Vultr has {config.state} open: use that one, or end it first.") from error
    os.set_inheritable(lock, True)


def main(words: list[str]) -> int:
    """Exit code 0, 1 for what cannot work, 2 for a wrong command."""
    try:
        config = Config.from_environment()
        if words == ["serve"]:
            serve(config)
        if words == ["remove-all"]:
            for line in remove_all(config.cluster):
                print(f"removed {line}")
            return 0
    except (ConfigError, EngineError) as error:
        print(error, file=sys.stderr)
        return 1
    print("usage: python -m local.vultr serve|remove-all", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
