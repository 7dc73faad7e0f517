# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Settings without those that are null, for templates."""

from __future__ import annotations

from ansible_collections.elephant.ha.plugins.module_utils.settings import without_nulls

DOCUMENTATION = r"""
name: without_nulls
short_description: Settings without those that are null
version_added: 0.1.0
description: A setting of null means that it is not there, at every depth of the settings.
positional: _input
options:
  _input:
    description: The settings.
    type: dict
    required: true
author: The Elephant authors (@elephant)
"""

EXAMPLES = r"""
- name: Show what remains
  ansible.builtin.debug:
    msg: "{{ {'ttl': 20, 'maximum_lag_on_failover': none} | elephant.ha.without_nulls }}"
"""

RETURN = r"""
_value:
  description: The others.
  type: dict
"""


class FilterModule:
    """The filter."""

    def filters(self):
        """By name."""
        return {"without_nulls": without_nulls}
