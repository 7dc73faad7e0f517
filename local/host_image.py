"""The images `elephant-node`: a Debian host with systemd, sshd and the archives of what the roles install."""

import hashlib
import os
import platform
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from local import child
from local.paths import CHECKOUT, cache
from local.say import Refusal, say, stage

DEFAULT = "13"
LABEL = "elephant.recipe"
RECIPE = CHECKOUT / "local/image"


@dataclass(frozen=True)
class Recipe:
    """What one image is made of."""

    suite: str
    apt_options: list[str]
    installed: list[str]
    archived: list[str]


def tag(image: str) -> str:
    """The image's name for the engine; ELEPHANT_IMAGE names the default one otherwise."""
    return (os.environ.get("ELEPHANT_IMAGE") if image == DEFAULT else None) or f"elephant-node:{image}"


def images() -> list[str]:
    """The images that packages.toml knows."""
    return list(_packages()["images"])


def recipe(image: str = DEFAULT) -> Recipe:
    """What packages.toml says of an image. Raises Refusal for one that it does not know."""
    told = _packages()
    if image not in told["images"]:
        raise Refusal(f"There is no recipe of an image elephant-node:{image}; there are: {', '.join(told['images'])}.")
    own = told["images"][image]
    archived = [name.format(postgresql=own["postgresql"]) for name in told["archived"]]
    return Recipe(own["suite"], own["apt_options"], told["installed"], archived)


def wanted(image: str = DEFAULT) -> str:
    """The recipe as one word: the image carries it as a label and is built again when it differs."""
    whole = hashlib.sha256(f"{platform.machine()} {image}".encode())
    for file in sorted(RECIPE.iterdir()):
        whole.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


def is_current(engine: docker.DockerClient, image: str = DEFAULT) -> bool:
    """True when the engine has the image that this checkout's recipe makes."""
    try:
        labels = engine.images.get(tag(image)).labels
    except ImageNotFound:
        return False
    return labels.get(LABEL) == wanted(image)


def provide(engine: docker.DockerClient, image: str = DEFAULT) -> None:
    """Build the image unless it is there and current."""
    parts = recipe(image)
    if is_current(engine, image):
        return
    say(
        f"To be built: the image of a host, {tag(image)} (Debian {parts.suite}, {len(parts.installed)} packages, "
        f"and the archives of {len(parts.archived)} more)"
    )
    with stage(f"building the image {tag(image)}"):
        _build(engine, image, parts)


def _packages() -> dict:
    return tomllib.loads((RECIPE / "packages.toml").read_text())


def _build(engine: docker.DockerClient, image: str, parts: Recipe) -> None:
    if not shutil.which("mmdebstrap"):
        raise Refusal("mmdebstrap makes the image of a host and is not here: apt-get install mmdebstrap")
    folder = cache() / "build" / f"image-{image}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tree = folder / "node.tar"
    try:
        child.run(
            [
                "mmdebstrap",
                "--variant=minbase",
                *(f"--aptopt={option}" for option in parts.apt_options),
                f"--include={','.join(parts.installed)}",
                "--skip=cleanup/apt",
                f'--customize-hook={RECIPE / "customize"} "$1" {" ".join(parts.archived)}',
                parts.suite,
                tree,
            ],
            {**os.environ, "TMPDIR": str(folder)},
            cache() / "log" / f"image-{image}.log",
            "mmdebstrap could not build the image of a host",
        )
        _import(engine, image, tree)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import(engine: docker.DockerClient, image: str, tree: Path) -> None:
    name, _, version = tag(image).partition(":")
    changes = ['CMD ["/usr/local/sbin/host-init"]', "ENV container=docker", f"LABEL {LABEL}={wanted(image)}"]
    answered = engine.api.import_image_from_file(str(tree), repository=name, tag=version, changes=changes)
    if '"error"' in answered:
        raise Refusal(f"The Docker engine refused the image of a host: {answered.strip()}")
