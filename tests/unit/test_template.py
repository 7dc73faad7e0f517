"""elephant.ha.template answers what ansible.builtin.template answers."""

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

TEXTS = {
    "blocks and line ends": "{% for it in listed %}\n  {{ it }}\n{% endfor %}\n\nend\n\n",
    "no line end": "a {{ word }}",
    "backslashes": "{{ word | regex_replace('(w)', '\\\\1\\\\1') }} \\d+ \\\\ '\\n'\n",
    "a variable that is a template": "{{ nested }}, {{ deep['er'][0] }}\n",
    "looks like data": "[1, {{ number }}]\n",
    "a comment": "{# nothing #}# {{ number }}\n",
    "its own variable": "{{ own }} {{ word }}\n",
}


@pytest.fixture(name="answers")
def answers_fixture(tmp_path):
    """`answers(plugin, text)`: what the lookup makes of a template with this text."""

    def answers(plugin: str, text: str) -> Any:
        (tmp_path / "templates").mkdir(exist_ok=True)
        (tmp_path / "templates/x.j2").write_text(text)
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        variables = {
            "word": "word",
            "number": 2,
            "listed": ["a", "b"],
            "nested": trust_as_template("<{{ word }}>"),
            "deep": {"er": [trust_as_template("{{ number + 1 }}")]},
            "own": "everybody's",
        }
        asked = f"{{{{ lookup('{plugin}', 'x.j2', template_vars={{'own': 'own ' ~ word}}) }}}}"
        return Templar(loader=loader, variables=variables).template(trust_as_template(asked))

    return answers


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_it_answers_what_the_builtin_lookup_answers(answers, text):
    assert answers("elephant.ha.template", text) == answers("ansible.builtin.template", text)


def test_what_is_not_defined_is_an_error(answers):
    with pytest.raises(AnsibleError, match="'nobody' is undefined"):
        answers("elephant.ha.template", "{{ nobody }}\n")


def test_a_template_that_is_missing_is_an_error(tmp_path):
    loader = DataLoader()
    loader.set_basedir(str(tmp_path))
    with pytest.raises(AnsibleError, match="nowhere to be found"):
        Templar(loader=loader, variables={}).template(trust_as_template("{{ lookup('elephant.ha.template', 'gone.j2') }}"))


def test_the_copied_variables_are_the_lookups_own(tmp_path):
    """What a template is given alone does not stay for the next."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/x.j2").write_text("{{ own | default('nothing') }}")
    loader = DataLoader()
    loader.set_basedir(str(tmp_path))
    twice = "{{ lookup('elephant.ha.template', 'x.j2', template_vars={'own': 'mine'}) }} {{ lookup('elephant.ha.template', 'x.j2') }}"
    assert Templar(loader=loader, variables={}).template(trust_as_template(twice)) == "mine nothing"


def test_the_roles_use_it():
    """Nobody falls back to the slow one by habit."""
    root = Path(__file__).parents[2]
    files = [file for folder in ("roles", "playbooks") for file in (root / folder).rglob("*") if file.suffix in (".yml", ".j2")]
    assert [str(file) for file in files if "ansible.builtin.template'" in file.read_text()] == []
