#!/usr/bin/python
"""Who may do what in etcd: authentication on, root by certificate, users by password within their prefix."""

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_access
short_description: Users, roles and authentication of an etcd cluster
description:
  - Switches authentication on. The user C(root) has no password; only a client certificate whose common name is C(root) is root.
  - Each listed user has its password and one role of its own name, which reads and writes the keys that begin with its prefix.
  - A cluster that matches is only read; its authentication revision, and with it every client's token, stays.
  - Users that are not listed are left alone.
version_added: 0.1.0
author: The Elephant authors (@elephant)
extends_documentation_fragment: [elephant.ha.etcd]
options:
  users:
    description: The users.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user and of its role.
        type: str
        required: true
      password:
        description: Password of the user; needed unless it is absent.
        type: str
      prefix:
        description: Beginning of the keys that it may read and write; needed unless it is absent.
        type: str
      state:
        description: Whether there is such a user.
        type: str
        choices: [present, absent]
        default: present
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows users, their roles and grants, never a password.
    support: full
"""

EXAMPLES = r"""
- name: Patroni reads and writes its own keys
  elephant.ha.etcd_access:
    users:
      - {name: patroni, password: "{{ vaulted_password }}", prefix: /service/}
    cluster:
      members: [{name: etcd-1, address: 192.0.2.31}]
      ca_file: /etc/elephant/certificates/ca.crt
      certificate_file: /etc/elephant/certificates/etcd-root.crt
      key_file: /etc/elephant/certificates/etcd-root.key
"""

RETURN = r"""
steps:
  description: What was changed, or would be in check mode.
  type: list
  returned: always
"""

import base64
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils.etcd import CLUSTER_OPTION, Cluster, EtcdError

READ_WRITE = 2
USER = {
    "name": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "prefix": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
ARGUMENTS = {
    "cluster": CLUSTER_OPTION,
    "users": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": USER,
        "required_if": [("state", "present", ["password", "prefix"])],
    },
}


@dataclass
class Access:
    """Compares the cluster with what is wanted; each difference is a step, taken unless `dry`."""

    cluster: Cluster
    endpoints: list[str]
    dry: bool
    enabled: bool
    steps: list[str] = field(default_factory=list)

    def ask(self, *command: str) -> dict[str, Any]:
        """A question, which changes nothing."""
        return self.cluster.etcdctl(self.endpoints, *command)

    def step(self, what: str, *command: str, stdin: str | None = None) -> None:
        """A change, named in words for the report."""
        self.steps.append(what)
        if not self.dry:
            self.cluster.etcdctl(self.endpoints, *command, stdin=stdin)

    def root(self, users: list[str], roles: list[str]) -> None:
        """The user root without a password, and its role."""
        if "root" not in roles:
            self.step("role root", "role", "add", "root")
        if "root" not in users:
            self.step("user root, by certificate only", "user", "add", "root", "--no-password")
        if "root" not in users or "root" not in (self.ask("user", "get", "root").get("roles") or []):
            self.step("user root has role root", "user", "grant-role", "root", "root")

    def enable(self) -> None:
        """Authentication is on."""
        if not self.enabled:
            self.step("authentication is on", "auth", "enable")

    def absent(self, name: str, users: list[str], roles: list[str]) -> None:
        """Neither a user nor a role of this name."""
        if name in users:
            self.step(f"no user {name}", "user", "delete", name)
        if name in roles:
            self.step(f"no role {name}", "role", "delete", name)

    def present(self, user: dict[str, Any], users: list[str], roles: list[str]) -> None:
        """The role first, then the user: a user without its role would be refused by its own client."""
        name = user["name"]
        if name not in roles:
            self.step(f"role {name}", "role", "add", name)
        self._grants(name, user["prefix"], self.ask("role", "get", name).get("perm") or [] if name in roles else [])
        has: list[str] = []
        if name not in users:
            self.step(f"user {name}", "user", "add", name, "--interactive=false", stdin=user["password"])
        else:
            has = self.ask("user", "get", name).get("roles") or []
            # Before authentication is on etcd judges no password.
            if not self.enabled or not self._knows(name, user["password"]):
                self.step(f"password of {name}", "user", "passwd", name, "--interactive=false", stdin=user["password"])
        for role in set(has) - {name}:
            self.step(f"user {name} without role {role}", "user", "revoke-role", name, role)
        if name not in has:
            self.step(f"user {name} has role {name}", "user", "grant-role", name, name)

    def _grants(self, role: str, prefix: str, found: list[dict[str, Any]]) -> None:
        wanted = (prefix.encode(), end_of(prefix.encode()), READ_WRITE)
        grants = [(base64.b64decode(it.get("key", "")), base64.b64decode(it.get("range_end", "")), it.get("permType", 0)) for it in found]
        for key, end, _ in (it for it in grants if it != wanted):
            # An argument may be any bytes: the end of a prefix need not be UTF-8.
            keys = [it.decode(errors="surrogateescape") for it in (key, end) if it]
            self.step(f"role {role} without {keys[0]}", "role", "revoke-permission", role, *keys)
        if wanted not in grants:
            self.step(f"role {role} reads and writes {prefix}*", "role", "grant-permission", role, "readwrite", prefix, "--prefix")

    def _knows(self, name: str, password: str) -> bool:
        """Whether the password is the user's, by reading as it. Raises EtcdError where the answer is neither yes nor no."""
        try:
            self.cluster.etcdctl(self.endpoints, "get", "/", "--keys-only", user=(name, password))
        except EtcdError as error:
            # Told apart by etcd's words: refused at the door, or inside.
            if "invalid user ID or password" in str(error):
                return False
            if "permission denied" not in str(error):
                raise
        return True


def end_of(prefix: bytes) -> bytes:
    """The first key after all that begin with the prefix, as etcd's clients compute it: the last byte that can grow, grown."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\0"


def converge(access: Access, wanted: list[dict[str, Any]]) -> None:
    """Root, the users, then the switch: nobody is served in between without being asked who they are."""
    users, roles = (access.ask(kind, "list").get(f"{kind}s") or [] for kind in ("user", "role"))
    access.root(users, roles)
    for user in wanted:
        if user["state"] == "absent":
            access.absent(user["name"], users, roles)
        else:
            access.present(user, users, roles)
    access.enable()


def steps(asked: dict[str, Any], *, dry: bool) -> list[str]:
    """What was done, or if `dry` would be. Raises EtcdError."""
    cluster = Cluster(asked["cluster"])
    health = cluster.health()
    endpoints = cluster.endpoints(health)
    if not endpoints:
        raise EtcdError("No member is healthy: " + "; ".join(f"{name}: {state}" for name, state in health.items()))
    enabled = cluster.etcdctl(endpoints, "auth", "status").get("enabled", False)
    access = Access(cluster, endpoints, dry, enabled)
    converge(access, asked["users"])
    return access.steps


def glance(asked: dict[str, Any]) -> dict[str, Any] | None:
    """The answer if there is nothing to do."""
    try:
        return None if steps(asked, dry=True) else {"steps": [], "diff": {}}
    except EtcdError:
        return None


def main() -> None:
    """Converge, and tell the steps."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        taken = steps(module.params, dry=module.check_mode)
    except EtcdError as error:
        module.fail_json(msg=str(error))
    after = "".join(f"{it}\n" for it in taken)
    module.exit_json(changed=bool(taken), steps=taken, diff={"before": "", "after": after} if after else {})


if __name__ == "__main__":
    main()
