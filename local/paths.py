"""Where things lie: the checkout, the cache that outlives clusters, and a cluster's own folder."""

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from local.say import Refusal

CHECKOUT = Path(__file__).resolve().parents[1]
# A Unix socket's path ends at 107 bytes; ssh adds a dot and 16 characters to Ansible's 10 while it connects.
_LONGEST_SOCKET_FOLDER = 107 - 1 - 10 - 17


def cache() -> Path:
    """The folder of what is slow to make and the same for every cluster: programs, venvs."""
    if own := os.environ.get("ELEPHANT_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "elephant"


def home() -> Path:
    """The folder of the clusters' folders."""
    return Path(os.environ.get("ELEPHANT_HOME") or Path.home() / ".local/share/elephant").absolute()


@dataclass(frozen=True)
class Cluster:
    """A cluster by its name. Names that begin with `local` stand for clusters on this machine, all others for Vultr."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", self.name):
            raise Refusal(
                f"CLUSTER={self.name!r} is no cluster's name: use up to 32 of a-z, 0-9 and hyphens, a letter first, no hyphen last."
            )

    @property
    def is_local(self) -> bool:
        """True for a cluster that `make up` makes."""
        return self.name == "local" or self.name.startswith("local-")

    @property
    def folder(self) -> Path:
        """The cluster's folder on this machine: state key, CA, secrets, host keys."""
        return home() / self.name

    @property
    def drills(self) -> Path:
        """What its drills found. Not in its own folder: that is gone with the cluster, and a verdict is about more than one."""
        return home() / "drills" / self.name

    @property
    def sockets(self) -> Path:
        """Where Ansible keeps the cluster's SSH connections."""
        folder = self.folder / "ssh"
        if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
            raise Refusal(
                f"{folder} is too long for a socket's path ({_LONGEST_SOCKET_FOLDER} bytes at most): set ELEPHANT_HOME to a shorter one."
            )
        return folder

    @property
    def no_authorities(self) -> Path:
        """An empty folder, for clients that are told to trust no CA but the local Vultr's."""
        return self.folder / "no-authorities"

    @property
    def key(self) -> Path:
        """The private half of the SSH key that is this local cluster's alone."""
        return self.folder / "id_ed25519"

    @property
    def log(self) -> Path:
        """Where the whole output of what the console starts goes."""
        return self.folder / "log" if self.is_local else cache() / "log" / self.name

    @property
    def number(self) -> int:
        """What keeps local clusters apart on one machine, in ports and networks: 0 for `local`, else 1 to 199 by the name."""
        return 0 if self.name == "local" else 1 + zlib.crc32(self.name.encode()) % 199

    @property
    def vpc_subnet(self) -> str:
        """The private network: the root module's own default for `local`."""
        return f"10.87.{self.number}.0/24"

    @property
    def public_network(self) -> str:
        """The network that stands for the public one.

        Out of the range for benchmarks (RFC 2544), which nothing routes; the ranges for documentation are in use inside some sites.
        """
        return f"198.18.{self.number}.0/24"

    def make_folder(self) -> None:
        """The cluster's folder is there and nobody else's business."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if self.is_local:
            self.no_authorities.mkdir(mode=0o700, exist_ok=True)

    @property
    def vultr(self) -> Path:
        """The local Vultr's state, its CA and its log."""
        return self.folder / "vultr"


def chosen(local_only: bool = False) -> Cluster:
    """The cluster that CLUSTER names (default `local`). With `local_only`, one on Vultr is refused."""
    cluster = Cluster(os.environ.get("CLUSTER") or "local")
    if local_only and not cluster.is_local:
        raise Refusal(
            f"CLUSTER={cluster.name} names a cluster on Vultr, and this command is only for one on this machine: "
            "unset CLUSTER, or choose `local` or a name that begins with `local-`."
        )
    return cluster
