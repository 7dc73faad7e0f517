"""The whole path as a person walks it, on a cluster of its own, with a key exported that must never be used."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

from local import child, engine, environment, reach, tools, vultr_process
from local.paths import CHECKOUT, Cluster, cache
from local.say import Refusal, say
from local.vultr.engine import LABEL

CLUSTER = Cluster("local-walk")
# Looks like a key of Vultr's and opens nothing.
SENTINEL = "NEVERSENDTHISKEY0000000000000000XXXX"


def whole_path() -> None:
    """make up, make up again, make status, a quick make drill, make env and the README's block, make down; then nothing may be left."""
    with tempfile.TemporaryDirectory(prefix="elephant-") as folder:
        home = Path(folder) / "home"
        os.environ["ELEPHANT_HOME"] = str(home)
        env = {**os.environ, "CLUSTER": CLUSTER.name, "VULTR_API_KEY": SENTINEL, "TF_VAR_vultr_api_key": SENTINEL}
        try:
            _make(env, "up")
            _make(env, "up", log="up-again")
            _refuse_changes(CLUSTER.log / "ha.log", CLUSTER.log / "tofu-apply.log")
            _refuse_a_poor_table(_make(env, "status"))
            # Its seconds are reported; red is what was lost or did not heal.
            _make({**env, "FAULTS": "quick", "UNTIMED": "1"}, "drill")
            closed = environment.clients(CLUSTER, [tools.ansible(), tools.tool("tofu").parent])
            _refuse_another_inventory(closed)
            _refuse_a_quiet_failure(closed)
            readme_block(env, Path(folder))
            _refuse_the_sentinel(home)
        finally:
            _make(env, "down")
            os.environ.pop("ELEPHANT_HOME")
        refuse_leftovers(home)


def readme_block(env: dict[str, str], folder: Path) -> None:
    """The README's five steps, as printed, in a fresh copy of the checkout and in a shell that `make env` has pointed here."""
    block = five_steps()
    copy = folder / "copy"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(CHECKOUT), str(copy)], check=True)
    # pip takes its packages from the index, not from api.vultr.com, which is all that the local proxy serves.
    outside = "env -u HTTPS_PROXY -u SSL_CERT_FILE -u SSL_CERT_DIR"
    pip = f'python3() {{ case "$2" in pip) {outside} python3 "$@" ;; *) command python3 "$@" ;; esac; }}\n'
    words = f'set -e\npointed="$(make --no-print-directory -C {CHECKOUT} env)"\neval "$pointed"\n{pip}{block}\n'
    child.run(["bash", "-c", words], env, cache() / "log/walk-readme.log", "The README's five steps, as printed, did not work", cwd=copy)


def five_steps() -> str:
    """The block of README.md that begins with `cd tofu` and `tofu init`, as printed."""
    text = (CHECKOUT / "README.md").read_text()
    found = re.search(r"^```(?:sh|bash|shell)?\n(cd tofu\ntofu init\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise Refusal("README.md has no block that begins with `cd tofu` and `tofu init`.")
    return found[1]


def refuse_leftovers(home: Path) -> None:
    """Raises Refusal when anything of the cluster is still on this machine."""
    client: docker.DockerClient = engine.client()
    marked = {"label": f"{LABEL}={CLUSTER.name}"}
    left = [f"container {it.name}" for it in client.containers.list(all=True, filters=marked)]
    left += [f"network {it.name}" for it in client.networks.list(filters=marked)]
    left += [f"volume {it.name}" for it in client.volumes.list(filters=marked)]
    # What a drill reported is kept.
    left += [f"file {path}" for path in home.iterdir() if path.name != "drills"] if home.exists() else []
    if pid := vultr_process.running(CLUSTER):
        left.append(f"process {pid}")
    if left:
        raise Refusal(f"make down left behind: {', '.join(left)}")


def _make(env: dict[str, str], verb: str, log: str = "") -> str:
    lines: list[str] = []
    file = cache() / f"log/walk-{log or verb}.log"
    child.run(["make", "--no-print-directory", verb], env, file, f"make {verb} failed", each_line=lines.append)
    if len(lines) > 120:
        say(f"make {verb} printed {len(lines)} lines; a person reads fewer.")
    return "\n".join(lines)


def _refuse_changes(playbook: Path, tofu: Path) -> None:
    changed = re.findall(r"changed=(\d+)", playbook.read_text())
    if not changed or set(changed) != {"0"}:
        raise Refusal(f"The second make up changed hosts: changed={', '.join(changed)} (the whole log: {playbook})")
    if "0 added, 0 changed, 0 destroyed" not in tofu.read_text():
        raise Refusal(f"The second make up changed machines (the whole log: {tofu})")


def _refuse_a_poor_table(table: str) -> None:
    wanted = [f"{CLUSTER.name}-{role}-{number}" for role, count in (("postgresql", 2), ("etcd", 3)) for number in range(1, count + 1)]
    if missing := [name for name in wanted if name not in table]:
        raise Refusal(f"make status does not show {', '.join(missing)}:\n{table}")
    rows = [line for line in table.splitlines() if line.split() and line.split()[0] in wanted]
    if silent := [row.split()[0] for row in rows if not re.search(r"\s\d+\.\d+", row)]:
        raise Refusal(f"make status shows no version for {', '.join(silent)}:\n{table}")
    if "leader" not in table or "unreachable" in table:
        raise Refusal(f"make status shows a cluster that is not whole:\n{table}")


def _refuse_another_inventory(env: dict[str, str]) -> None:
    """What tofu made and what Ansible sees must be the same hosts, by name, address and group."""
    state = environment.tofu_root(CLUSTER) / "terraform.tfstate"
    # `tofu show` takes the state as a word of its own, and no -var-file.
    shown = child.answer([tools.tool("tofu"), "show", "-json", state], env, cwd=environment.tofu_root(CLUSTER))
    made = {
        one["label"]: (one["main_ip"], one["internal_ip"], next(tag for tag in one["tags"] if tag.startswith("role=")))
        for one in _instances(json.loads(shown or "{}").get("values", {}).get("root_module", {}))
    }
    seen = reach.inventory(CLUSTER, env)
    roles = {host: f"role={group}" for group in ("etcd", "postgresql") for host in seen["groups"].get(group, [])}
    listed = {host: (row["ansible_host"], row["cluster_address"], roles.get(host)) for host, row in seen["vars"].items()}
    if not made or made != listed:
        raise Refusal(f"tofu made {made}, but the inventory lists {listed}")


def _instances(module: dict) -> Iterator[dict]:
    for resource in module.get("resources", []):
        if resource["type"] == "vultr_instance" and resource["mode"] == "managed":
            yield resource["values"]
    for inner in module.get("child_modules", []):
        yield from _instances(inner)


def _refuse_a_quiet_failure(env: dict[str, str]) -> None:
    """Without a key, or with a wrong one, inventory and playbook must fail and name the variable, never go on with no hosts."""
    without = {name: value for name, value in env.items() if name != "VULTR_API_KEY"}
    listing = ["ansible-inventory", "-i", "inventories/vultr.yml", "--list"]
    playing = ["ansible-playbook", "-i", "inventories/vultr.yml", "playbooks/cluster/status.yml"]
    for said, given in (("VULTR_API_KEY is not set", without), ("does not accept VULTR_API_KEY", {**env, "VULTR_API_KEY": "wrong"})):
        for words in (listing, playing):
            ended = subprocess.run(words, cwd=CHECKOUT, env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if ended.returncode == 0 or said not in ended.stderr + ended.stdout:
                raise Refusal(f"{words[0]} does not say {said!r} (exit code {ended.returncode}):\n{ended.stderr}")


def _refuse_the_sentinel(home: Path) -> None:
    """The exported key must be in no file that the path wrote. (Had it been sent, the local Vultr would have answered 401.)"""
    for path in home.rglob("*"):
        if path.is_file() and SENTINEL.encode() in path.read_bytes():
            raise Refusal(f"The exported key was written to {path}")
    for log in (cache() / "log").glob("walk-*.log"):
        if SENTINEL in log.read_text(errors="replace"):
            raise Refusal(f"The exported key was printed: {log}")
