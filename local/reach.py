"""`make status`, `make psql`, `make ssh`, `make env`: for a cluster here as for one on Vultr."""

import json
import os
import shlex
from pathlib import Path

from local import child, environment, tools, vultr_process
from local.paths import Cluster
from local.playbook import Watch
from local.say import Refusal

INVENTORY = "inventories/vultr.yml"
# As the superuser through the socket, from a folder that postgres may enter.
_PSQL = "cd /tmp && exec sudo -u postgres psql"


def status(cluster: Cluster) -> None:
    """Print the table of the cluster."""
    env = prepared(cluster)
    watch = Watch(quiet=True)
    child.run(
        ["ansible-playbook", "-i", INVENTORY, "playbooks/cluster/status.yml"],
        env,
        _log(cluster),
        "make status stopped",
        each_line=watch.line,
    )
    print("\n".join(watch.last_message))


def psql(cluster: Cluster) -> None:
    """A session as the superuser on the leader. The leader is asked for at every call."""
    env = prepared(cluster)
    hosts = inventory(cluster, env)
    databases = sorted(hosts["groups"].get("postgresql", []))
    if not databases:
        raise Refusal(f"Cluster {cluster.name} has no database host in its inventory: run make status{_named(cluster)} to see what it has.")
    for name in databases:
        words = ssh_words(cluster, hosts["vars"][name])
        answer = child.answer([*words, f"{_PSQL} -XAtc 'SELECT NOT pg_is_in_recovery()'"], env)
        if answer is not None and answer.strip() == "t":
            child.become([*words[:1], "-t", *words[1:], _PSQL], env)
    raise Refusal(f"None of {', '.join(databases)} leads or none answers: make status{_named(cluster)} shows what they say.")


def ssh(cluster: Cluster, node: str | None) -> None:
    """A shell on a node, by its name in the inventory."""
    env = prepared(cluster)
    hosts = inventory(cluster, env)
    names = ", ".join(sorted(hosts["vars"])) or "none"
    if not node:
        raise Refusal(f"Which node? make ssh NODE=…{_named(cluster)}; there are: {names}.")
    if node not in hosts["vars"]:
        raise Refusal(f"NODE={node} is no node of cluster {cluster.name}; there are: {names}.")
    words = ssh_words(cluster, hosts["vars"][node])
    command = os.environ.get("COMMAND")
    child.become([*words, command] if command else [*words[:1], "-t", *words[1:]], env)


def env(cluster: Cluster) -> None:
    """Print what points a shell at a cluster on this machine."""
    if not cluster.is_local:
        raise Refusal(
            f"make env is for clusters on this machine. For {cluster.name} on Vultr: export CLUSTER={cluster.name} VULTR_API_KEY=…"
        )
    vultr_process.insist(cluster)
    print(environment.exports(cluster, _programs()))


def _programs() -> list[Path]:
    return [tools.ansible(), tools.tool("tofu").parent]


def prepared(cluster: Cluster, drilling: bool = False) -> dict[str, str]:
    """The environment of Ansible for this cluster; the local Vultr has been asked who it is."""
    if cluster.is_local:
        vultr_process.insist(cluster)
    elif not os.environ.get("VULTR_API_KEY"):
        environment.clients(cluster, [])
    cluster.make_folder()
    return environment.clients(cluster, [tools.ansible(drilling=drilling)])


def inventory(cluster: Cluster, env: dict[str, str]) -> dict:
    """Hosts and groups as Ansible sees them: {"vars": {host: its variables}, "groups": {group: [host]}}."""
    listed = _log(cluster).with_name("inventory.json")
    child.run(
        ["ansible-inventory", "-i", INVENTORY, "--list", "--output", listed],
        env,
        _log(cluster),
        f"The inventory of cluster {cluster.name} could not be read",
    )
    found = _plain(json.loads(listed.read_text()))
    listed.unlink()
    return {
        "vars": found.get("_meta", {}).get("hostvars", {}),
        "groups": {name: group.get("hosts", []) for name, group in found.items() if isinstance(group, dict) and name != "_meta"},
    }


def _plain(value: object) -> object:
    """Values without the wrapper by which Ansible marks what came from outside."""
    if isinstance(value, dict):
        return (
            _plain(value["__ansible_unsafe"])
            if set(value) == {"__ansible_unsafe"}
            else {key: _plain(inner) for key, inner in value.items()}
        )
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def ssh_words(cluster: Cluster, host: dict) -> list[str]:
    """The words of an ssh command to a host, with the options that Ansible uses and a socket in the cluster's folder."""
    key = ["-i", str(cluster.key), "-o", "IdentitiesOnly=yes"] if cluster.is_local else []
    return [
        "ssh",
        *key,
        *("-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=5", "-o", "ConnectTimeout=5"),
        *("-o", "ControlMaster=auto", "-o", f"ControlPath={cluster.sockets}/%C", "-o", "ControlPersist=60s"),
        *shlex.split(host.get("ansible_ssh_common_args", "")),
        f"{host.get('ansible_user', 'root')}@{host.get('ansible_host', '')}",
    ]


def _log(cluster: Cluster) -> Path:
    return cluster.log / "console.log"


def _named(cluster: Cluster) -> str:
    return "" if cluster.name == "local" else f" CLUSTER={cluster.name}"
