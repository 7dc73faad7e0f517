#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Patroni's keys in etcd: made to be the cluster's settings and nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_store
short_description: What etcd knows of a Patroni cluster is its settings and nothing else
version_added: 0.1.0
description:
  - Removes all keys of the cluster and puts its settings, in one transaction. For a cluster whose data is replaced while no member runs.
  - Refuses while a member holds the leader's key with a lease, for then somebody runs.
extends_documentation_fragment: [elephant.ha.patroni.tls, elephant.ha.patroni.store]
options:
  scope:
    description: Name of the cluster.
    type: str
    required: true
  settings:
    description: Patroni's dynamic configuration. A value of null is left out.
    type: dict
    required: true
  wait:
    description: Seconds to wait for the leader's key to end. It outlives a leader that was killed by the cluster's ttl.
    type: int
    default: 120
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: Says which keys would be removed.
  diff_mode:
    support: none
    description: What is removed is of no use to a person.
"""

EXAMPLES = r"""
- name: The store knows the cluster's settings and nothing of its past
  elephant.ha.patroni_store:
    scope: elephant
    settings: {ttl: 20, loop_wait: 1, retry_timeout: 5}
    ca_file: /etc/elephant/certificates/ca.crt
    certificate_file: /etc/elephant/certificates/patroni.crt
    key_file: /etc/elephant/certificates/patroni.key
    etcd_urls: [https://192.0.2.11:2379]
    etcd_password: "{{ etcd_patroni_password }}"
"""

RETURN = r"""
removed:
  description: Names of the keys that were removed.
  returned: always
  type: list
  elements: str
"""

import json
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.patroni_rest import (
    ETCD_OPTIONS,
    FILE_OPTIONS,
    Https,
    Unreachable,
    etcd_read,
    etcd_replace,
)
from ansible_collections.elephant.ha.plugins.module_utils.settings import without_nulls


def main() -> None:
    """Read, wait for a dying leader's key, replace."""
    module = AnsibleModule(
        argument_spec={
            "scope": {"type": "str", "required": True},
            "settings": {"type": "dict", "required": True},
            **FILE_OPTIONS,
            **ETCD_OPTIONS,
            "wait": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    asked = module.params
    prefix, user = f"/service/{asked['scope']}/", (asked["etcd_username"], asked["etcd_password"])
    deadline = time.monotonic() + asked["wait"]
    try:
        servers = [Https(url, asked["ca_file"], asked["certificate_file"], asked["key_file"]) for url in asked["etcd_urls"]]
        _, keys = etcd_read(servers, *user, prefix)
        while keys.get(prefix + "leader") and time.monotonic() < deadline and not module.check_mode:
            time.sleep(1)
            _, keys = etcd_read(servers, *user, prefix)
        if keys.get(prefix + "leader") and not module.check_mode:
            holder = keys[prefix + "leader"]
            module.fail_json(msg=f"{holder} holds the leader's key of {asked['scope']} and renews it: a member still runs. Stop it first.")
        settings = without_nulls(asked["settings"])
        try:
            before = json.loads(keys.get(prefix + "config", "null"))
        except ValueError:
            before = None
        others = sorted(set(keys) - {prefix + "config"})
        if not others and before == settings:
            module.exit_json(changed=False, removed=[])
        if not module.check_mode:
            etcd_replace(servers, *user, prefix, {"config": json.dumps(settings, separators=(",", ":"))})
    except Unreachable as error:
        module.fail_json(msg=f"etcd cannot be asked about {asked['scope']}: {error}")
    module.exit_json(changed=True, removed=others)


if __name__ == "__main__":
    main()
