#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""The two users of a plain replication, on its primary."""

from __future__ import annotations

DOCUMENTATION = r"""
module: replication_access
short_description: The users replicator and rewinder
version_added: 0.1.0
description:
  - On the primary, C(replicator) may stream and copy, C(rewinder) may read what pg_rewind reads, and neither may do more.
options:
  password:
    description: Password of both; empty for users that show a certificate.
    type: str
    default: ""
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: Says what would be granted.
  diff_mode:
    support: none
    description: The statements that are missing are returned.
"""

EXAMPLES = r"""
- name: The users are there
  elephant.ha.replication_access:
"""

RETURN = r"""
statements:
  description: What was, or in check mode would be, told to PostgreSQL, without passwords.
  returned: always
  type: list
  elements: str
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.replication_host import Failed, sql
from ansible_collections.elephant.ha.plugins.module_utils.scram import make_verifier, matches

# The documentation of pg_rewind, "Notes": all that a user without superuser rights needs.
FUNCTIONS = (
    "pg_catalog.pg_ls_dir(text, boolean, boolean)",
    "pg_catalog.pg_stat_file(text, boolean)",
    "pg_catalog.pg_read_binary_file(text)",
    "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
)
ROLES = {"replicator": "LOGIN REPLICATION", "rewinder": "LOGIN"}
STATE = """
SELECT coalesce(json_object_agg(rolname, json_build_object(
         'fits', rolcanlogin AND rolreplication = (rolname = 'replicator'), 'verifier', rolpassword)), '{}')
  FROM pg_authid WHERE rolname IN ('replicator', 'rewinder')
"""


def statements(there: dict[str, Any], granted: bool, password: str) -> list[tuple[str, str]]:
    """What has to be said, each with what may be shown of it."""
    said = []
    for name, rights in ROLES.items():
        if name not in there:
            said.append((f"CREATE ROLE {name} {rights}", f"CREATE ROLE {name} {rights}"))
        elif not there[name]["fits"]:
            said.append((f"ALTER ROLE {name} {rights}", f"ALTER ROLE {name} {rights}"))
        if password and not matches(password, there.get(name, {}).get("verifier")):
            said.append((f"ALTER ROLE {name} PASSWORD '{make_verifier(password)}'", f"ALTER ROLE {name} PASSWORD ..."))
    if not granted:
        said += [(line, line) for line in (f"GRANT EXECUTE ON FUNCTION {name} TO rewinder" for name in FUNCTIONS)]
    return said


def main() -> None:
    """Compare, and say what is missing."""
    module = AnsibleModule(argument_spec={"password": {"type": "str", "default": "", "no_log": True}}, supports_check_mode=True)
    try:
        there = json.loads(sql(STATE))
        checks = " AND ".join(f"has_function_privilege('rewinder', '{name}', 'EXECUTE')" for name in FUNCTIONS)
        granted = "rewinder" in there and sql(f"SELECT {checks}") == "t"
        said = statements(there, granted, module.params["password"])
        if said and not module.check_mode:
            sql("".join(f"{line};\n" for line, _ in said))
    except Failed as error:
        module.fail_json(msg=f"PostgreSQL refused: {error}")
    module.exit_json(changed=bool(said), statements=[shown for _, shown in said])


if __name__ == "__main__":
    main()
