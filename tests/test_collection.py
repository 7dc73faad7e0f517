"""The tarball carries what belongs to the collection and nothing of who builds it; installed, its playbooks find all their parts."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())

FOLDERS = {"roles", "playbooks", "plugins", "docs", "meta"}
ALONE = {"README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "requirements.yml"}
MADE_BY_THE_BUILD = {"MANIFEST.json", "FILES.json"}
# What a person's checkout may hold besides what is in git, in the places where it comes to lie.
STRAY = (
    "roles/etcd/files/terraform.tfstate",
    "roles/etcd/files/ca.key",
    "roles/etcd/tasks/main.yml.orig",
    "roles/pgbackrest/files/backup/__pycache__/status.cpython-311.pyc",
    "plugins/modules/__pycache__/files.cpython-311.pyc",
    "playbooks/provision/ha.retry",
    "playbooks/terraform.tfstate",
    "tofu/terraform.tfstate",
    "tofu/secret.tfvars",
    "inventories/group_vars/all/user.yml",
    "secrets.yml",
    "known_hosts",
    ".env",
)


def run(*words: object, home: Path, cwd: Path) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=cwd, env=environment(home))
    assert done.returncode == 0, done.stdout + done.stderr


def environment(home: Path) -> dict[str, str]:
    """Nothing of the checkout: no ansible.cfg, no .collections, no cluster's folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return kept | {"HOME": str(home), "ELEPHANT_HOME": str(home / "elephant"), "ANSIBLE_COLLECTIONS_PATH": str(home / "installed")}


@pytest.fixture(scope="module")
def committed() -> set[str]:
    """The checkout's files, those to be committed included."""
    if not (ROOT / ".git").exists():
        pytest.skip("only git knows which files of this folder are the project's")
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def tarball(tmp_path_factory, committed) -> Path:
    """Built from a copy of the checkout in which a person's own things lie about."""
    copy, built = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("built")
    for name in committed:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    for name in STRAY:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("not for others")
    run(BIN / "ansible-galaxy", "collection", "build", "--output-path", built, home=built, cwd=copy)
    return next(built.glob("*.tar.gz"))


def test_the_tarball_holds_what_belongs_and_nothing_else(tarball, committed):
    with tarfile.open(tarball) as archive:
        carried = {member.name for member in archive if not member.isdir()}
    belonging = {name for name in committed if name in ALONE or name.split("/")[0] in FOLDERS}
    assert carried - MADE_BY_THE_BUILD == belonging


def test_the_installed_playbooks_find_their_parts(tarball, committed, tmp_path):
    """Roles, modules and task files by the names that they have outside of the checkout."""
    install = ("collection", "install", tarball, "--no-deps", "--offline", "--collections-path", tmp_path / "installed")
    run(BIN / "ansible-galaxy", *install, home=tmp_path, cwd=tmp_path)
    found = (re.fullmatch(r"playbooks/(?!tasks/|vars/)(\w+)/(\w+)\.yml", name) for name in sorted(committed))
    names = [f"elephant.ha.{match[1]}.{match[2]}" for match in found if match]
    assert "elephant.ha.provision.ha" in names
    run(BIN / "ansible-playbook", "--syntax-check", "-i", ROOT / "inventories/static.example.yml", *names, home=tmp_path, cwd=tmp_path)


def test_the_dependencies_are_the_collections_that_are_used(committed):
    used = set()
    for name in committed:
        if name.endswith((".yml", ".j2", ".py")) and name.split("/")[0] in {"roles", "playbooks", "plugins", "inventories"}:
            used |= set(re.findall(r"\b((?:ansible\.(?!builtin|module|plugins)|community\.|vultr\.)\w+)\.\w", (ROOT / name).read_text()))
    asked = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    assert set(GALAXY["dependencies"]) == used
    assert {each["name"]: each["version"] for each in asked} == GALAXY["dependencies"]
