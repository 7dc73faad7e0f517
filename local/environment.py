"""What a child process is told. The rule that keeps the two Vultrs apart lives here and nowhere else.

A cluster on this machine gets an environment from which everything that could lead to the real Vultr was taken, and in which the local
Vultr's key, proxy and CA were put. The real key leaves this process before any child is started (`forget_the_real_vultr`).
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from local.paths import Cluster, cache, home
from local.say import Refusal

# Whatever tofu, Ansible or the clients' HTTP libraries would take from a user's shell instead of from us.
_STEERING = ("VULTR_", "TF_", "ANSIBLE_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# Without a folder of its own here a client would trust the world's CAs beside ours, and so the real Vultr: OpenSSL and Go have a default.
_TRUST = ("SSL_CERT_DIR",)
# Settings of the local Vultr and of the console that are no secrets and steer nothing else.
_OURS = ("VULTR_VPC2", "VULTR_PROVIDER")
# A key file of another state than the local one.
_OTHERS = ("ELEPHANT_STATE_KEY_FILE",)
SECRETS = ("VULTR_API_KEY", "TF_VAR_vultr_api_key")
# The subcommands of tofu that read or write the state, by the names that TF_CLI_ARGS_<name> takes.
_STATEFUL = ("plan", "apply", "destroy", "refresh", "output", "import", "console")
_VARIED = ("plan", "apply", "destroy", "refresh", "import", "console")


_forgotten: set[str] = set()


def forget_the_real_vultr() -> None:
    """Take the real key out of this process, and so out of all that it starts. Called before anything else for local clusters and tests.

    All else that a shell may tell tofu goes with it: arguments and tokens can hold a key too.
    """
    for name in [name for name in os.environ if name.startswith(("VULTR_", "TF_")) and name not in _OURS]:
        _forgotten.add(name)
        del os.environ[name]


def blank(outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The user's environment without what steers tofu, Ansible or a proxy: for tofu init, tests and the local Vultr itself."""
    kept = {name: value for name, value in outer.items() if name in _OURS or not name.startswith(_STEERING)}
    return {name: value for name, value in kept.items() if name not in _PROXIES + _OTHERS}


def local_vultr(cluster: Cluster, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the API's process is told: where it lies; never anybody's key."""
    return {
        **blank(outer),
        "CLUSTER": cluster.name,
        "ELEPHANT_HOME": str(home()),
        "ELEPHANT_CACHE": str(cache()),
        "ELEPHANT_VULTR_STATE": str(cluster.vultr),
        "ELEPHANT_VULTR_PORT": str(port(cluster)),
        "ELEPHANT_PUBLIC_NETWORK": outer.get("ELEPHANT_PUBLIC_NETWORK") or cluster.public_network,
    }


def port(cluster: Cluster) -> int:
    """The local Vultr's port on 127.0.0.1: the one it was started with, else ELEPHANT_VULTR_PORT, else 18080 and up."""
    recorded = cluster.folder / "port"
    text = recorded.read_text().strip() if recorded.exists() else os.environ.get("ELEPHANT_VULTR_PORT") or str(18080 + cluster.number)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise Refusal(f"ELEPHANT_VULTR_PORT is {text!r}: give a port number, 1 to 65535.")
    return int(text)


def proxy(cluster: Cluster) -> str:
    """The local Vultr's front, as HTTPS_PROXY wants it."""
    return f"http://127.0.0.1:{port(cluster)}"


def certificate(cluster: Cluster) -> Path:
    """The only CA that a local cluster's clients trust."""
    return cluster.vultr / "proxy/mitmproxy-ca-cert.pem"


def api_key(cluster: Cluster) -> str:
    """The local Vultr's key, which opens nothing else."""
    file = cluster.vultr / "api_key"
    if not file.exists():
        raise Refusal(f"There is no cluster {cluster.name} on this machine yet: make up makes it.")
    return file.read_text().strip()


def settings(cluster: Cluster, programs: list[Path]) -> dict[str, str]:
    """The variables that point a client at a local cluster, without the key."""
    folder = tofu_root(cluster)
    arguments = {f"TF_CLI_ARGS_{name}": f"-state={shlex.quote(str(folder / 'terraform.tfstate'))}" for name in _STATEFUL}
    for name in _VARIED:
        # A file on the command line outranks a terraform.tfvars beside the root, which may hold a real key and another cluster's name.
        arguments[f"TF_CLI_ARGS_{name}"] += f" -var-file={shlex.quote(str(folder / 'local.tfvars.json'))}"
    return {
        "CLUSTER": cluster.name,
        "ELEPHANT_HOME": str(home()),
        "ELEPHANT_CACHE": str(cache()),
        "TF_VAR_cluster_name": cluster.name,
        "TF_DATA_DIR": str(folder / ".terraform"),
        "TF_CLI_CONFIG_FILE": str(cluster.folder / "tofu.rc"),
        "TF_IN_AUTOMATION": "1",
        **arguments,
        "HTTPS_PROXY": proxy(cluster),
        "SSL_CERT_FILE": str(certificate(cluster)),
        "SSL_CERT_DIR": str(cluster.no_authorities),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(cluster.sockets),
        "ANSIBLE_PRIVATE_KEY_FILE": str(cluster.key),
        "PATH": os.pathsep.join([*dict.fromkeys(str(folder) for folder in programs), os.environ.get("PATH", os.defpath)]),
    }


def tofu_root(cluster: Cluster) -> Path:
    """The copy of tofu/ that `make up` applies: without the user's tfvars, state and lock file."""
    return cluster.folder / "tofu"


def clients(cluster: Cluster, programs: list[Path], outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The whole environment of tofu and Ansible: for a local cluster closed, for one on Vultr the user's own.

    `programs` are folders that go first on PATH. Raises Refusal without a key.
    """
    if cluster.is_local:
        closed = {name: value for name, value in blank(outer).items() if name not in _TRUST}
        return {**closed, **settings(cluster, programs), "VULTR_API_KEY": api_key(cluster)}
    if not outer.get("VULTR_API_KEY"):
        raise Refusal(
            f"VULTR_API_KEY is not set, and cluster {cluster.name} is on Vultr: export VULTR_API_KEY=… (customer portal, Account, API), "
            "or leave CLUSTER out for the cluster on this machine."
        )
    return {
        **outer,
        "CLUSTER": cluster.name,
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(cluster.sockets),
        "PATH": os.pathsep.join([*(str(folder) for folder in programs), outer.get("PATH", os.defpath)]),
    }


def exports(cluster: Cluster, programs: list[Path]) -> str:
    """Shell words that point a shell at a local cluster. The key itself is not among them: the shell reads it from its file."""
    api_key(cluster)
    given = settings(cluster, programs)
    gone = sorted(
        name
        for name in {*os.environ, *_forgotten, *_PROXIES, *_TRUST, *SECRETS}
        if name not in given and (name.startswith(("TF_", "VULTR_")) or name in _PROXIES + _TRUST + _OTHERS)
    )
    key = shlex.quote(str(cluster.vultr / "api_key"))
    return "\n".join(
        [
            f"unset {' '.join(gone)}",
            *(f"export {name}={shlex.quote(value)}" for name, value in given.items()),
            f'export VULTR_API_KEY="$(cat {key})"',
        ]
    )
