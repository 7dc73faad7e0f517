# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""The judgement of plugins/module_utils/replication.py for templates."""

from __future__ import annotations

from ansible_collections.elephant.ha.plugins.module_utils.replication import plan, promotion

DOCUMENTATION = r"""
name: replication_plan
short_description: What a run of the role replication has to do
version_added: 0.1.0
description:
  - Says who is the primary, what each member does, and what is refused, from what M(elephant.ha.replication_info) found on the members.
  - C(replication_promotion) of the same file judges whether a standby may be promoted.
positional: _input
options:
  _input:
    description: The findings, one of each member that could be asked.
    type: list
    elements: dict
    required: true
  members:
    description: Names of all members.
    type: list
    elements: str
    required: true
  wanted:
    description: Who should be the primary; empty for whoever is.
    type: str
  upstreams:
    description: Whom a standby follows, where it is not the primary.
    type: dict
  version:
    description: Major version of PostgreSQL.
    type: str
  leaving:
    description: A member that is about to be rebuilt.
    type: str
author: The Elephant authors (@elephant)
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ findings | elephant.ha.replication_plan(members=['db-1', 'db-2']) }}"
"""

RETURN = r"""
_value:
  description: The keys C(primary), C(forms), C(refusals), C(reports), C(actions), C(upstreams).
  type: dict
"""


class FilterModule:
    """Both filters."""

    def filters(self):
        """By name."""
        return {"replication_plan": plan, "replication_promotion": promotion}
