#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Makes the configuration in Patroni's DCS equal to what was asked for."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_dynamic_configuration
short_description: Converge the configuration that Patroni keeps in its DCS
version_added: 0.1.0
description:
  - Compares the whole dynamic configuration with O(settings) and sends the difference as one request.
    What is in the DCS and not in O(settings) is removed.
  - Runs on a member, against its own REST API.
extends_documentation_fragment: [elephant.ha.patroni, elephant.ha.patroni.tls]
options:
  settings:
    description: The whole dynamic configuration.
    type: dict
    required: true
  ignore:
    description: Top-level settings that are not ours to touch.
    type: list
    elements: str
    default: [pause, standby_cluster]
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: Says what would change and sends nothing.
  diff_mode:
    support: full
    description: Shows the configuration before and after.
"""

EXAMPLES = r"""
- name: The DCS has the cluster's settings
  elephant.ha.patroni_dynamic_configuration:
    url: https://192.0.2.21:8008
    ca_file: /etc/elephant/certificates/ca.crt
    certificate_file: /etc/elephant/certificates/patroni.crt
    key_file: /etc/elephant/certificates/patroni.key
    settings: {ttl: 20, loop_wait: 1, retry_timeout: 5}
"""

RETURN = r"""
patch:
  description: What was sent; a removed setting is null.
  returned: always
  type: dict
changed_parameters:
  description: The PostgreSQL parameters that were added, changed or removed.
  returned: always
  type: list
  elements: str
"""

import copy
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.patroni_rest import REST_OPTIONS, Https, Unreachable
from ansible_collections.elephant.ha.plugins.module_utils.settings import without_nulls


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The smallest document that makes `before` into `after` by Patroni's rule: objects are merged, null removes, all else replaces."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(before[key], dict):
            inner = difference(before[key], value)
            if inner:
                patch[key] = inner
        elif not same(before[key], value):
            patch[key] = value
    return patch


def same(one: Any, other: Any) -> bool:
    """Equal as Patroni reads them: `1` is `"1"`, but `true` is not `1`."""
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, (dict, list)) or isinstance(other, (dict, list)):
        return type(one) is type(other) and one == other
    return str(one) == str(other)


def applied(before: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """What Patroni makes of `before` and `patch`."""
    after = copy.deepcopy(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict) and isinstance(after.get(key), dict):
            after[key] = applied(after[key], value)
        else:
            after[key] = value
    return after


def pretty(document: dict[str, Any]) -> str:
    """One setting a line, so that a diff is worth reading."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Read, compare, send at most one request."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            **REST_OPTIONS,
            "ignore": {"type": "list", "elements": "str", "default": ["pause", "standby_cluster"]},
        },
        supports_check_mode=True,
    )
    asked = module.params
    try:
        rest = Https(asked["url"], asked["ca_file"], asked["certificate_file"], asked["key_file"], timeout=10)
        status, before = rest.call("GET", "/config")
        if status != 200 or not isinstance(before, dict):
            module.fail_json(
                msg=f"Patroni at {asked['url']} has no configuration to compare with (HTTP {status}): does the cluster have a leader?"
            )
        wanted = {key: value for key, value in without_nulls(asked["settings"]).items() if key not in asked["ignore"]}
        kept = {key: value for key, value in before.items() if key in asked["ignore"]}
        patch = difference(before, {**wanted, **kept})
        result = {
            "changed": bool(patch),
            "patch": patch,
            "changed_parameters": sorted((patch.get("postgresql") or {}).get("parameters") or {}),
            "diff": {
                "before": pretty(before),
                "after": pretty(applied(before, patch)),
                "before_header": "DCS",
                "after_header": "variables",
            },
        }
        if patch and not module.check_mode:
            # For Patroni to take away what is null already is no change, so it would stay for ever: then all is written anew.
            whole = before != without_nulls(before)
            status, answer = rest.call("PUT", "/config", applied(before, patch)) if whole else rest.call("PATCH", "/config", patch)
            if status != 200:
                module.fail_json(msg=f"Patroni at {asked['url']} refused the configuration (HTTP {status}): {answer}", **result)
    except Unreachable as error:
        module.fail_json(msg=f"Patroni does not answer: {error}")
    if not patch:
        result.pop("diff")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
