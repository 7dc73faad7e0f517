"""What the local Vultr is told from outside: names, folders, networks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

API_HOST = "api.vultr.com"
DEFAULT_PORT = 18080
DEFAULT_IMAGE = "elephant-node:13"
# One of the ranges that are kept for documentation: no real machine has these addresses.
DEFAULT_PUBLIC = "203.0.113.0/24"


class ConfigError(Exception):
    """A setting that cannot work; the message is for the person who made it."""


@dataclass(frozen=True)
class Config:
    """Every setting of one local Vultr."""

    cluster: str
    state: Path
    port: int = DEFAULT_PORT
    image: str = DEFAULT_IMAGE
    versitygw: Path = Path("/usr/local/bin/versitygw")
    public_network: IPv4Network = field(default_factory=lambda: IPv4Network(DEFAULT_PUBLIC))
    vpc2: str = "gone"

    @property
    def proxy_folder(self) -> Path:
        """mitmproxy's confdir, where the CA lies."""
        return self.state / "proxy"

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Config:
        """Read the variables that README.md lists; ConfigError on one that cannot work."""
        cluster = env.get("CLUSTER") or "local"
        home = Path(env.get("ELEPHANT_HOME") or "~/.local/share/elephant").expanduser()
        state = env.get("ELEPHANT_VULTR_STATE")
        return cls(
            cluster=cluster,
            state=Path(state).expanduser().absolute() if state else home.absolute() / cluster / "vultr",
            port=_port(env.get("ELEPHANT_VULTR_PORT") or str(DEFAULT_PORT)),
            image=env.get("ELEPHANT_IMAGE") or DEFAULT_IMAGE,
            versitygw=_versitygw(env),
            public_network=_network(env.get("ELEPHANT_PUBLIC_NETWORK") or DEFAULT_PUBLIC),
            vpc2=_vpc2(env.get("VULTR_VPC2") or "gone"),
        )


def _port(text: str) -> int:
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ConfigError(f"ELEPHANT_VULTR_PORT is {text!r}: give a port number, 1 to 65535.")


def _vpc2(text: str) -> str:
    if text in ("gone", "empty"):
        return text
    raise ConfigError(f"VULTR_VPC2 is {text!r}: give 'gone' (as live Vultr answers) or 'empty' (for provider 2.32).")


def _network(text: str) -> IPv4Network:
    try:
        network = IPv4Network(text)
    except ValueError as error:
        raise ConfigError(f"ELEPHANT_PUBLIC_NETWORK is {text!r}: {error}.") from error
    if network.prefixlen > 26:
        raise ConfigError(f"ELEPHANT_PUBLIC_NETWORK is {text!r}: give a network of at least 64 addresses (/26).")
    return network


def _versitygw(env: Mapping[str, str]) -> Path:
    """Named, or on PATH, or where the toolchain puts it; whether it exists is judged when it is needed."""
    cache = env.get("ELEPHANT_CACHE") or f"{env.get('XDG_CACHE_HOME') or '~/.cache'}/elephant"
    named = env.get("ELEPHANT_VERSITYGW") or shutil.which("versitygw", path=env.get("PATH"))
    return Path(named or f"{cache}/bin/versitygw").expanduser().absolute()
