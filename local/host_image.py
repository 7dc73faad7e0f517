"""The image `elephant-node:13`: a Debian host with systemd, sshd and the archives of what the roles install."""

import hashlib
import os
import platform
import shutil
import tomllib
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from local import child
from local.paths import CHECKOUT, cache
from local.say import Refusal, say, stage

TAG = os.environ.get("ELEPHANT_IMAGE") or "elephant-node:13"
LABEL = "elephant.recipe"
RECIPE = CHECKOUT / "local/image"


def recipe() -> dict:
    """What packages.toml says: suite, installed, archived."""
    return tomllib.loads((RECIPE / "packages.toml").read_text())


def wanted() -> str:
    """The recipe as one word: the image carries it as a label and is built again when it differs."""
    whole = hashlib.sha256(platform.machine().encode())
    for file in sorted(RECIPE.iterdir()):
        whole.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


def is_current(engine: docker.DockerClient) -> bool:
    """True when the engine has the image that this checkout's recipe makes."""
    try:
        labels = engine.images.get(TAG).labels
    except ImageNotFound:
        return False
    return labels.get(LABEL) == wanted()


def provide(engine: docker.DockerClient) -> None:
    """Build the image unless it is there and current."""
    if is_current(engine):
        return
    parts = recipe()
    say(
        f"To be built: the image of a host, {TAG} (Debian {parts['suite']}, {len(parts['installed'])} packages, "
        f"and the archives of {len(parts['archived'])} more)"
    )
    with stage(f"building the image {TAG}"):
        _build(engine, parts)


def _build(engine: docker.DockerClient, parts: dict) -> None:
    if not shutil.which("mmdebstrap"):
        raise Refusal("mmdebstrap makes the image of a host and is not here: apt-get install mmdebstrap")
    folder = cache() / "build/image"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tree = folder / "node.tar"
    try:
        child.run(
            [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={','.join(parts['installed'])}",
                "--skip=cleanup/apt",
                f'--customize-hook={RECIPE / "customize"} "$1" {" ".join(parts["archived"])}',
                parts["suite"],
                tree,
            ],
            {**os.environ, "TMPDIR": str(folder)},
            cache() / "log/image.log",
            "mmdebstrap could not build the image of a host",
        )
        _import(engine, tree)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import(engine: docker.DockerClient, tree: Path) -> None:
    name, _, tag = TAG.partition(":")
    changes = ['CMD ["/usr/local/sbin/host-init"]', "ENV container=docker", f"LABEL {LABEL}={wanted()}"]
    answered = engine.api.import_image_from_file(str(tree), repository=name, tag=tag, changes=changes)
    if '"error"' in answered:
        raise Refusal(f"The Docker engine refused the image of a host: {answered.strip()}")
