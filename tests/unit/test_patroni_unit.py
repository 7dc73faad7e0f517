"""Patroni's unit for the versions that there are."""

import re
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.plugins.filter.core import FilterModule
from ansible.plugins.test.core import TestModule

ROLE = Path(__file__).parents[2] / "roles/patroni"


def rendered(version: str) -> str:
    """The unit as the role writes it where dpkg has this version of Patroni."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.tests |= TestModule().tests()
    environment.filters |= FilterModule().filters()
    cleaned = yaml.safe_load((ROLE / "vars/main/state.yml").read_text())["__patroni_version"]
    upstream = environment.from_string(cleaned).render({"__patroni_found": {"version": version}})
    paths = {"__patroni_config_directory": "/etc/elephant/patroni", "patroni_data_directory": "/srv/data/17/main"}
    names = paths | {"__patroni_version": upstream}
    return environment.from_string((ROLE / "templates/patroni.service.j2").read_text()).render(names)


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("3.0.2-1", "simple"),
        ("4.0.7-3~deb13u1", "simple"),
        ("4.1.0-1", "notify"),
        ("4.1.5-1.pgdg13+1", "notify"),
        ("4.10.0-1", "notify"),
    ],
)
def test_systemd_waits_for_a_word_only_where_patroni_gives_one(version, kind):
    assert re.findall(r"^Type=(.*)$", rendered(version), flags=re.MULTILINE) == [kind]


def test_an_empty_mount_point_is_never_taken_for_the_data_directory():
    assert "RequiresMountsFor=/srv/data/17/main\n" in rendered("4.0.7-3")
