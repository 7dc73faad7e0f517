"""What `ansible-doc` shows of a module is what the module takes: its own options and those of fragments, with type and default."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import get_docstring

MODULES = sorted((Path(__file__).parents[2] / "plugins/modules").glob("*.py"))


# What a description may say of an option. A comma in an unquoted one makes a key of the words behind it.
WORDS = {"description", "type", "elements", "required", "default", "choices", "suboptions", "version_added"}


class Asked(Exception):
    """Raised in place of the module's work, with the options that it asked for."""


def ask(*, argument_spec: dict[str, Any], **_: Any) -> None:
    raise Asked(argument_spec)


def taken(spec: dict[str, Any]) -> dict[str, Any]:
    """Name: (type, default, required, choices, type of the elements, options within) of an argument spec."""
    return {
        name: (
            it.get("type", "str"),
            it.get("default"),
            it.get("required", False),
            list(it.get("choices") or []),
            it.get("elements"),
            taken(it.get("options") or it.get("suboptions") or {}),
        )
        for name, it in spec.items()
    }


def stray(options: dict[str, Any]) -> set[str]:
    """Words that are no property of an option, at every depth; a missing description too."""
    found = {word for it in options.values() for word in set(it) - WORDS} | {
        f"{name}?" for name, it in options.items() if not it.get("description")
    }
    return found.union(*(stray(it.get("suboptions") or {}) for it in options.values()))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_documentation_says_what_the_module_takes(path, monkeypatch):
    module = import_module(f"ansible_collections.elephant.ha.plugins.modules.{path.stem}")
    monkeypatch.setattr(module, "AnsibleModule", ask)
    with pytest.raises(Asked) as asked:
        module.main()
    documented = get_docstring(str(path), fragment_loader, collection_name="elephant.ha")[0]
    assert stray(documented["options"]) == set()
    assert all(it.get("support") and it.get("description") for it in documented["attributes"].values())
    assert taken(documented["options"]) == taken(asked.value.args[0])
