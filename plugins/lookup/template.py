# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""P(ansible.builtin.template#lookup) without its copy of every variable of the host, a seventh of the controller's time in a second run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.template import trust_as_template

DOCUMENTATION = r"""
name: template
short_description: The text that a template becomes
version_added: 0.1.0
description:
  - What P(ansible.builtin.template#lookup) answers, for a fraction of its time. That one copies all variables deeply for each template.
  - Only the settings that Ansible uses by itself, and none of the variables about the template, such as C(template_path).
options:
  _terms:
    description: Names of templates.
    type: list
    elements: str
    required: true
  template_vars:
    description: Variables for these templates alone.
    type: dict
    default: {}
author: The Elephant authors (@elephant)
"""

EXAMPLES = r"""
- name: The unit is in place
  elephant.ha.files:
    files:
      - path: /etc/systemd/system/example.service
        content: "{{ lookup('elephant.ha.template', 'example.service.j2') }}"
"""

RETURN = r"""
_raw:
  description: The texts.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """As Ansible calls it."""
        self.set_options(var_options=variables, direct=kwargs)
        known = (variables or {}) | self.get_option("template_vars")
        return [self._rendered(term, known) for term in terms]

    def _rendered(self, name: str, variables: dict[str, Any]) -> str:
        file = self.find_file_in_search_path(variables, "templates", name)
        if not file:
            raise AnsibleError(f"The template {name} is nowhere to be found.")
        templar = self._templar.copy_with_new_env(searchpath=[str(Path(file).parent)], available_variables=variables)
        return templar.template(trust_as_template(self._loader.get_text_file_contents(file)), escape_backslashes=False)
