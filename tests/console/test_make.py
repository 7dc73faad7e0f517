"""What stands behind the targets: the list, the image's packages, the README's figures, the bootstrap's first words."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import CHECKOUT

from local import host_image, suite, walk
from local.say import Refusal

VERBS = re.findall(r"^verbs := (.+)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)[0].split()
README = (CHECKOUT / "README.md").read_text()


def make(*words: str) -> str:
    return subprocess.run(["/usr/bin/make", *words], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout


def test_make_alone_prints_every_target_with_a_line():
    printed = re.findall(r"^  make (\S+) +\S.*$", make(), re.MULTILINE)
    assert sorted(printed) == sorted(["help", *VERBS, *(f"molecule-{name}" for name in suite.scenarios())])


def test_every_role_has_a_scenario():
    roles = {path.name for path in (CHECKOUT / "roles").iterdir() if (path / "tasks").exists()}
    assert roles - set(suite.scenarios()) == set()


@pytest.mark.parametrize(("image", "postgresql"), [("13", "17"), ("testing", "18")])
def test_the_image_has_the_archives_of_all_that_the_roles_install(image, postgresql):
    """The lists in the roles' variables whose names end in `packages`; what is pinned or a template is of another source than Debian's."""
    recipe = host_image.recipe(image)
    there = {*recipe.installed, *recipe.archived}
    wanted: dict[str, set[str]] = {}
    for file in (CHECKOUT / "roles").glob("*/vars/**/*.yml"):
        for name, value in (yaml.safe_load(file.read_text()) or {}).items():
            if name.endswith("packages") and isinstance(value, list):
                plain = {one.replace("{{ postgresql_version }}", postgresql) for one in value if isinstance(one, str)}
                wanted[name] = {one for one in plain if "{{" not in one and "=" not in one}
    assert wanted, "no role names its packages, so nothing was compared"
    assert {name: names - there for name, names in wanted.items() if names - there} == {}


def test_the_images_that_are_tested_have_recipes_and_one_that_has_none_is_refused():
    assert {suite.image_of(name) for name in suite.scenarios()} == set(host_image.images())
    with pytest.raises(Refusal, match="no recipe of an image elephant-node:sid; there are: 13, testing"):
        host_image.recipe("sid")


def test_a_scenario_brings_its_own_image_and_no_other(monkeypatch, tmp_path):
    (tmp_path / "log").write_text("all well")
    brought = []
    monkeypatch.setattr(suite.engine, "provide", lambda: "engine")
    monkeypatch.setattr(host_image, "provide", lambda engine, image: brought.append((engine, image)))
    monkeypatch.setattr(suite, "_run", lambda name, *words: tmp_path / "log")
    for name in ("testing", "default"):
        suite.scenario(name).run()
    assert brought == [("engine", "testing"), ("engine", "13")]


def test_another_name_is_for_the_default_image_alone(monkeypatch):
    monkeypatch.setenv("ELEPHANT_IMAGE", "mine:1")
    assert (host_image.tag("13"), host_image.tag("testing")) == ("mine:1", "elephant-node:testing")


def test_the_recipe_decides_about_the_image(tmp_path, monkeypatch):
    before = host_image.wanted()
    assert host_image.wanted("testing") != before
    for file in host_image.RECIPE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(host_image, "RECIPE", tmp_path)
    assert host_image.wanted() == before
    (tmp_path / "packages.toml").write_text("changed")
    assert host_image.wanted() != before


def test_the_readmes_five_steps_are_there_in_order():
    steps = ["cd tofu", "tofu init", "tofu apply -auto-approve", "cd ..", "python3 -m venv .venv", "pip install -r requirements.txt"]
    steps.append("ansible-playbook -i inventories/vultr.yml ./playbooks/provision/ha.yml")
    block = walk.five_steps()
    assert [block.index(step) for step in steps] == sorted(block.index(step) for step in steps)


def test_the_readmes_price_is_the_catalogues():
    plans = {plan["id"]: plan["monthly_cost"] for plan in json.loads((CHECKOUT / "local/vultr/data/plans.json").read_text())}
    tiers = {tier["sales_name"]: tier["price"] for tier in json.loads((CHECKOUT / "local/vultr/data/tiers.json").read_text())}
    large, small, storage = plans["vhp-2c-4gb-amd"], plans["vhp-1c-2gb-amd"], tiers["Standard"]
    assert f"{2 * large + 3 * small + storage} dollars a month" in README
    assert re.search(rf"\(2 . {large} for PostgreSQL, 3 . {small} for etcd, {storage} for the backups\)", README)


def test_the_commands_to_stop_paying_are_those_of_tofus_page():
    def commands(text: str) -> list[str]:
        return re.findall(r"^tofu destroy .+$", text, re.MULTILINE)

    assert commands(README) == commands((CHECKOUT / "tofu/README.md").read_text()) != []
    assert README.rstrip().endswith("```"), "the commands are the last lines"


@pytest.fixture
def bare_machine(tmp_path):
    """A PATH with a shell's own tools and nothing else; `apt-get` and `id` are stubs. Returns a runner of the bootstrap."""
    programs = tmp_path / "bare"
    programs.mkdir()
    for name in ("sh", "dirname", "cat", "date", "cksum", "grep", "mktemp", "tail", "rm", "mkdir", "flock"):
        found = next(path for folder in ("/usr/bin", "/bin") if (path := Path(folder) / name).exists())
        (programs / name).symlink_to(found)
    (programs / "apt-get").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/apt\nexit 1\n')

    def run(verb: str, user: int, **env: str) -> str:
        (programs / "id").write_text(f"#!/bin/sh\necho {user}\n")
        for name in ("apt-get", "id"):
            (programs / name).chmod(0o755)
        told = {"PATH": str(programs), "HOME": str(tmp_path), "DOCKER_HOST": "unix:///nowhere", **env}
        done = subprocess.run(["sh", "local/bootstrap", verb], cwd=CHECKOUT, env=told, capture_output=True, text=True)
        assert done.returncode != 0 and done.stdout == ""
        return done.stderr

    return run


def test_what_is_missing_is_named_with_the_command_when_this_is_not_root(bare_machine, tmp_path):
    said = bare_machine("up", 1000)
    assert "Only root may install them: sudo apt-get install --yes --no-install-recommends" in said
    assert "mmdebstrap" in said and "openssh-client" in said
    assert not (tmp_path / "apt").exists()


def test_what_is_installed_is_said_first_and_a_failure_ends_in_a_sentence(bare_machine, tmp_path):
    said = bare_machine("up", 0)
    assert said.startswith("To be installed by apt-get:")
    assert "apt-get could not install:" in said
    assert (tmp_path / "apt").read_text() == "update -qq\n"


def test_docker_is_asked_for_only_by_what_makes_containers(bare_machine):
    # Where an engine's socket exists nothing is missing; an empty DOCKER_HOST and no socket is what a fresh machine has.
    if Path("/var/run/docker.sock").exists():
        assert "docker.io" not in bare_machine("up", 1000, DOCKER_HOST="")
    else:
        assert "docker.io" in bare_machine("up", 1000, DOCKER_HOST="")
    assert "docker.io" not in bare_machine("ssh", 1000, DOCKER_HOST="")
