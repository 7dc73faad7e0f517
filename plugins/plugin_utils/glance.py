# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""What a module can say without changing anything is asked of the host directly; the module runs only where that is not enough.

A module brings 180 kB of Python with it, which the host compiles anew each time: a quarter of a second. Its own few functions take a tenth
of that. They are its C(glance), which answers what the module would return, or None where the module has to do something.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible import constants
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.elephant.ha.plugins.module_utils import glancing


class Glance(ActionBase):
    """The action of a module that has ARGUMENTS and a C(glance)."""

    module: ModuleType
    # What the module imports of this collection, in the order in which they import each other.
    uses: tuple[ModuleType, ...] = ()

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """As Ansible calls it."""
        result = super().run(tmp, task_vars)
        seen = self._glance(task_vars or {})
        if seen is None:
            name = self.module.__name__.rpartition(".")[2]
            return {**result, **self._execute_module(module_name=f"elephant.ha.{name}", task_vars=task_vars)}
        return {**result, "changed": False, **seen}

    def _glance(self, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """What the host answers; None is for the module, which also says what is wrong with arguments or with the host."""
        python = constants.config.get_config_value("INTERPRETER_PYTHON", variables=task_vars)
        asked = ArgumentSpecValidator(self.module.ARGUMENTS).validate(self._task.args)
        if asked.error_messages or not python.startswith("/") or self._task.delegate_to:
            return None
        sources = {it.__name__: Path(it.__file__).read_text() for it in (*self.uses, self.module)}
        question = json.dumps({"sources": sources, "asked": asked.validated_parameters})
        program = shlex.quote(Path(glancing.__file__).read_text())
        answer = self._low_level_execute_command(f"{python} -c {program}", in_data=question.encode())
        try:
            return json.loads(answer["stdout"]) if answer["rc"] == 0 else None
        except ValueError:
            return None
