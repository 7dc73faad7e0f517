# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Standard library only: plugins/plugin_utils/glance.py sends this source to the host, and through it the modules that are asked.

It reads {sources: {name: text}, asked} from its standard input and prints what the last module's C(glance) answers.
"""

from __future__ import annotations

import json
import sys
import types


def made(name: str) -> types.ModuleType:
    """An empty module that the following ones can import by its name."""
    module = types.ModuleType(name)
    module.__path__ = []
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules.get(parent) or made(parent), last, module)
    return module


if __name__ == "__main__":
    question = json.load(sys.stdin)
    # They import it for what they do as modules, which is not done here.
    basic = made("ansible.module_utils.basic")
    basic.AnsibleModule = basic.missing_required_lib = None
    for title, source in question["sources"].items():
        answering = made(title)
        exec(compile(source, title, "exec"), answering.__dict__)
    print(json.dumps(answering.glance(question["asked"])))
