"""`make down`: everything that `make up` made on this machine is gone, and nothing else."""

import contextlib
import shutil
import subprocess

from local import engine, environment, vultr_process
from local.engine import remove_all
from local.lock import held
from local.paths import CHECKOUT, Cluster, home
from local.say import Refusal, say, stage


def down(cluster: Cluster) -> None:
    """Remove the cluster. Can be run at any time, also on what an interrupted `make up` left."""
    if not cluster.is_local:
        raise Refusal(f"make down is for clusters on this machine; {cluster.name} is on Vultr: the end of README.md says how to remove it.")
    if not cluster.folder.exists() and not engine.answers():
        say(f"There is no cluster {cluster.name} on this machine.")
        return
    if (cluster.folder / "state.key").exists() and not cluster.vultr.exists():
        raise Refusal(f"{cluster.folder} holds the keys of a cluster that make up did not make; make down leaves it alone.")
    existed = cluster.folder.exists()
    with held(cluster):
        with stage("connections closed"):
            # Before the networks go: a connection whose other end vanished would keep sending to an address that is nobody's any more.
            close_connections(cluster)
        with stage("the local Vultr stopped"):
            vultr_process.stop(cluster)
        with stage("containers and networks removed"):
            removed = remove_all(cluster.name)
        _forget_own_lock_file(cluster)
        shutil.rmtree(cluster.folder)
    with contextlib.suppress(OSError):
        # Only when no other cluster has a folder there.
        home().rmdir()
    if existed or removed:
        say(f"Cluster {cluster.name} is gone: {len(removed)} containers, networks and volumes, and {cluster.folder}.")
        if cluster.drills.is_dir():
            say(f"What its drills found stays: {cluster.drills}")
    else:
        say(f"There is no cluster {cluster.name} on this machine.")


def close_connections(cluster: Cluster) -> None:
    """End the SSH connections whose sockets lie in the cluster's folder, and with them the sessions of make ssh and make psql."""
    if not cluster.sockets.is_dir():
        return
    for path in cluster.sockets.iterdir():
        if path.is_socket():
            subprocess.run(
                ["ssh", "-O", "exit", "-o", f"ControlPath={path}", "none"], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            path.unlink(missing_ok=True)


def _forget_own_lock_file(cluster: Cluster) -> None:
    """A shell that `make env` pointed here may have left the stand-in's hash in tofu/; tofu init would refuse Vultr's own provider."""
    ours = environment.tofu_root(cluster) / ".terraform.lock.hcl"
    theirs = CHECKOUT / "tofu/.terraform.lock.hcl"
    if ours.exists() and theirs.exists() and ours.read_text() == theirs.read_text():
        theirs.unlink()
