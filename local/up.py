"""`make up`: the README's five steps against a Vultr that lives on this machine."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from local import child, engine, environment, host_image, machine, tools, vultr_process
from local.api import Api
from local.engine import remove_all
from local.lock import held
from local.paths import CHECKOUT, Cluster
from local.playbook import Watch
from local.say import Refusal, say, stage

_NOT_COPIED = shutil.ignore_patterns(".terraform", ".terraform.*", "*.tfstate*", "*.tfvars", "*.tfvars.json", "tests", "__pycache__")


def up(cluster: Cluster, seconds: dict[str, float] | None = None, also: Mapping[str, str] | None = None) -> Watch:
    """Make the cluster, or finish it, or find that nothing is to be done.

    `seconds` collects the stages' times by name, `also` is added to the playbook's environment. Returns what the playbook said.
    """
    machine.judge(cluster)
    programs = provide(cluster)
    with held(cluster):
        _discard_what_was_interrupted(cluster)
        with stage("the local Vultr", seconds):
            vultr_process.provide(cluster)
            _own_key(cluster)
        env = environment.clients(cluster, programs)
        with stage("tofu init", seconds):
            _tofu_init(cluster)
        with stage("tofu apply", seconds):
            _tofu_apply(cluster, env)
        _start_halted(cluster)
        watch = Watch()
        with stage("ansible-playbook ha.yml", seconds):
            child.run(
                ["ansible-playbook", "-i", "inventories/vultr.yml", "./playbooks/provision/ha.yml"],
                {**env, **(also or {})},
                cluster.log / "ha.log",
                "The playbook stopped: its last task above says why; run make up again when that is mended",
                each_line=watch.line,
            )
    _next_steps(cluster, watch)
    return watch


def provide(cluster: Cluster) -> list[Path]:
    """What `make up` needs and outlives the cluster: engine, programs, venv, image. Returns the folders for PATH."""
    docker = engine.provide()
    tools.provide()
    ansible = tools.ansible()
    host_image.provide(docker)
    return [ansible, tools.tool("tofu").parent, tools.tool("versitygw").parent]


def tofu_files(cluster: Cluster) -> None:
    """Lay out what tofu runs on: the copied root, the settings file, the provider mirror with its CLI configuration."""
    root = environment.tofu_root(cluster)
    # Modules of an earlier layout must not stay; state and .terraform lie beside them and do.
    shutil.rmtree(root / "modules", ignore_errors=True)
    for old in root.glob("*.tf"):
        old.unlink()
    shutil.copytree(CHECKOUT / "tofu", root, ignore=_NOT_COPIED, dirs_exist_ok=True)
    settings = {
        "cluster_name": cluster.name,
        "vpc_subnet": cluster.vpc_subnet,
        "ssh_public_keys": [cluster.key.with_suffix(".pub").read_text().strip()],
        "vultr_api_key": environment.api_key(cluster),
    }
    file = root / "local.tfvars.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(settings, indent=2) + "\n")
    _provider(cluster)


def _provider(cluster: Cluster) -> None:
    """The stand-in, or what VULTR_PROVIDER names: `registry`, or the path of a binary of the real provider."""
    from local.provider import ADDRESS, VERSION
    from local.provider.install import install

    chosen = os.environ.get("VULTR_PROVIDER", "")
    mirror, config = cluster.folder / "mirror", cluster.folder / "tofu.rc"
    if chosen == "registry":
        config.write_text("# VULTR_PROVIDER=registry: the provider comes from tofu's registry.\n")
        return
    launcher = next(mirror.glob(f"{ADDRESS}/{VERSION}/*/*"), None)
    if launcher and launcher.is_symlink():
        launcher.unlink()
    install(mirror, config)
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise Refusal(
                f"VULTR_PROVIDER={chosen} is no program: give `registry`, a terraform-provider-vultr's path, or nothing for the stand-in."
            )
        launcher = next(mirror.glob(f"{ADDRESS}/{VERSION}/*/*"))
        launcher.unlink()
        launcher.symlink_to(Path(chosen).absolute())


def _tofu_init(cluster: Cluster) -> None:
    tofu_files(cluster)
    root = environment.tofu_root(cluster)
    # The launcher's text may have changed with the checkout; what it was is of no use to anybody.
    (root / ".terraform.lock.hcl").unlink(missing_ok=True)
    env = {
        **environment.blank(),
        "CLUSTER": cluster.name,
        "TF_DATA_DIR": str(root / ".terraform"),
        "TF_CLI_CONFIG_FILE": str(cluster.folder / "tofu.rc"),
        "TF_VAR_cluster_name": cluster.name,
    }
    child.run([tools.tool("tofu"), "init", "-input=false", "-no-color"], env, cluster.log / "tofu-init.log", "tofu init failed", cwd=root)


def _tofu_apply(cluster: Cluster, env: dict[str, str]) -> None:
    vultr_process.insist(cluster)
    child.run(
        [tools.tool("tofu"), "apply", "-auto-approve", "-input=false", "-no-color"],
        env,
        cluster.log / "tofu-apply.log",
        "tofu apply failed: the lines above say why; make up again goes on from there",
        cwd=environment.tofu_root(cluster),
    )
    (cluster.folder / "applied").touch()


def _discard_what_was_interrupted(cluster: Cluster) -> None:
    """Begin anew when the first tofu apply of this cluster never came to its end.

    tofu may have been killed between a create and its note in the state; the machine it made would be there twice. Nothing on these
    machines is worth keeping: no playbook has run on them.
    """
    if (cluster.folder / "applied").exists() or not cluster.vultr.exists():
        return
    vultr_process.stop(cluster)
    if removed := remove_all(cluster.name):
        say(f"The last make up was interrupted while it made machines: {len(removed)} leftovers removed, they are made again.")
    shutil.rmtree(cluster.vultr)
    for file in environment.tofu_root(cluster).glob("*.tfstate*"):
        file.unlink()


def _own_key(cluster: Cluster) -> None:
    """An SSH key of the cluster's own, so that a user's keys are neither needed nor read."""
    if cluster.key.exists() and cluster.key.with_suffix(".pub").exists():
        return
    cluster.key.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"elephant-{cluster.name}", "-f", str(cluster.key)], check=True)


def _start_halted(cluster: Cluster) -> None:
    """Machines that somebody halted or killed run again, as one would start them on Vultr."""
    api = Api(cluster)
    halted = [machine for machine in api.machines() if machine.power == "stopped"]
    if halted:
        with stage(f"starting what was halted: {', '.join(machine.name for machine in halted)}"):
            for machine_ in halted:
                api.start(machine_)


def _next_steps(cluster: Cluster, watch: Watch) -> None:
    chosen = "" if cluster.name == "local" else f" CLUSTER={cluster.name}"
    name = cluster.name
    for line in watch.last_message:
        say(line)
    say(f"""
The cluster {name} is up. What to try next:
  make status{chosen}                        who leads, who follows, how far behind
  make psql{chosen}                          a session on the leader
  make ssh NODE={name}-postgresql-1{chosen}    a shell on a node
  eval "$(make env{chosen})"                 point this shell at it: tofu, ansible-playbook
  make down{chosen}                          remove all of it""")
