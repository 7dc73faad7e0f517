r"""A backslash in a block of YAML stays one: '\n' there is two letters, and a sentence meant for two lines shows them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted(file for folder in ("playbooks", "roles", "molecule") for file in (ROOT / folder).rglob("*.yml"))


def strings(node: Any) -> Iterator[str]:
    """Every string of a document, at whatever depth."""
    if isinstance(node, dict):
        node = [*node.keys(), *node.values()]
    if isinstance(node, list):
        for item in node:
            yield from strings(item)
    elif isinstance(node, str):
        yield node


def backslashed(text: str) -> list[str]:
    return [value for document in yaml.safe_load_all(text) for value in strings(document) if r"'\n'" in value and "{{" in value]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_new_line_in_a_template_is_one(file):
    assert not backslashed(file.read_text())


def test_it_would_be_noticed():
    assert backslashed("msg: |-\n  a{{ '\\n' ~ b }}\n")
    assert not backslashed("msg: \"{{ lines | join('\\n') }}\"\n")
