#!/usr/bin/python
# Copyright: (c) 2026, The Elephant authors
# SPDX-License-Identifier: Apache-2.0
"""Put one nftables table in force, and take it back by itself unless somebody confirms it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Put one nftables table in force, and take it back by itself unless somebody confirms it
description:
  - With O(state=applied) the ruleset is checked by nft, a timer is armed that brings the confirmed one back, and the ruleset is applied
    in one transaction. Nothing happens if it is in force already, and confirmed.
  - With O(state=confirmed), over a fresh connection, the timer is disarmed and the ruleset becomes the one that a boot loads.
  - Other tables are neither read nor touched.
version_added: 0.1.0
author: The Elephant authors (@elephant)
options:
  state:
    description: Which of the two steps.
    type: str
    choices: [applied, confirmed]
    required: true
  ruleset:
    description: What nft is to read. It must make the table anew by itself.
    type: str
    required: true
  table:
    description: The table, with its family.
    type: str
    default: inet elephant
  path:
    description: File of the confirmed ruleset, which a boot loads.
    type: path
    default: /etc/elephant/firewall.nft
  confirm_seconds:
    description: Seconds after which an unconfirmed ruleset is taken back.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: The ruleset is checked by nft where it is installed.
  diff_mode:
    support: full
    description: Shows the rules before and after.
"""

EXAMPLES = r"""
- name: The rules are in force until further notice
  elephant.ha.firewall:
    state: applied
    ruleset: "{{ lookup('elephant.ha.template', 'firewall.nft.j2') }}"

- name: The next task comes over a fresh connection
  ansible.builtin.meta: reset_connection

- name: The rules stay
  elephant.ha.firewall:
    state: confirmed
    ruleset: "{{ lookup('elephant.ha.template', 'firewall.nft.j2') }}"
"""

RETURN = r"""
reason:
  description: Why the ruleset was, or would be, applied; empty if it was not.
  type: str
  returned: when O(state=applied)
  sample: the table in force was changed by hand
"""

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ARGUMENTS = {
    "state": {"type": "str", "choices": ["applied", "confirmed"], "required": True},
    "ruleset": {"type": "str", "required": True},
    "table": {"type": "str", "default": "inet elephant"},
    "path": {"type": "path", "default": "/etc/elephant/firewall.nft"},
    "confirm_seconds": {"type": "int", "default": 60},
}
ROLLBACK = "elephant-firewall-rollback"


@dataclass(frozen=True)
class Firewall:
    """One table, the file that a boot loads, and what lies beside it."""

    table: str
    confirmed: Path
    module: AnsibleModule | None = None

    @property
    def candidate(self) -> Path:
        """What is in force but not confirmed."""
        return self.confirmed.with_suffix(".candidate")

    @property
    def seal(self) -> Path:
        """The hash of the table as nft printed it when it was confirmed: what drifts in the kernel shows against it."""
        return self.confirmed.with_suffix(".sha256")

    def in_force(self) -> str:
        """Hash of the table in the kernel, without its counters; empty if there is none."""
        command = ["nft", "--stateless", "list", "table", *self.table.split()]
        # Where nft is missing, as in check mode on a blank host, there is no table either.
        listing = subprocess.run(command, capture_output=True, check=False) if shutil.which("nft") else None
        return hashlib.sha256(listing.stdout).hexdigest() if listing and listing.returncode == 0 else ""

    def why_due(self, ruleset: str) -> str:
        """Why the ruleset has to be applied; empty if it is what was confirmed and what is in force."""
        if not self.confirmed.exists():
            return "no rules were confirmed yet"
        if self.confirmed.read_text() != ruleset:
            return "the rules are other ones"
        found = self.confirmed.stat()
        if found.st_uid != 0 or found.st_mode & 0o022:
            return "others may write the file that a boot loads"
        live = self.in_force()
        if not live:
            return "the table is not in force"
        if not self.seal.exists() or self.seal.read_text().strip() != live:
            return "the table in force was changed by hand"
        return ""

    def check(self, ruleset: str) -> None:
        """Ask nft, which tells the line."""
        with tempfile.NamedTemporaryFile("w", suffix=".nft") as file:
            file.write(ruleset)
            file.flush()
            status, _out, error = self.module.run_command(["nft", "--check", "--file", file.name])
            if status != 0:
                self.module.fail_json(msg=f"nft refuses the rules, nothing was changed: {error.replace(file.name, 'line ').strip()}")

    def arm(self, seconds: int) -> None:
        """A timer of systemd's: it fires whatever becomes of this connection, and a boot forgets it and loads what was confirmed."""
        self.disarm()
        back = f"nft --file {self.confirmed}" if self.confirmed.exists() else f"nft destroy table {self.table}"
        command = ["systemd-run", f"--unit={ROLLBACK}", f"--on-active={seconds}s", "--timer-property=AccuracySec=1s", "--collect"]
        self.module.run_command([*command, "/bin/sh", "-c", f"{back} && rm -f {self.candidate}"], check_rc=True)

    def disarm(self) -> None:
        """Stop the timer, and forget one that fired and failed."""
        self.module.run_command(["systemctl", "stop", f"{ROLLBACK}.timer", f"{ROLLBACK}.service"])
        self.module.run_command(["systemctl", "reset-failed", f"{ROLLBACK}.service"])

    def apply(self, ruleset: str, seconds: int) -> None:
        """In this order, so that there is no moment without a way back."""
        self.confirmed.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.candidate.touch(mode=0o600)
        self.candidate.write_text(ruleset)
        self.arm(seconds)
        self.module.run_command(["nft", "--file", str(self.candidate)], check_rc=True)

    def confirm(self, ruleset: str) -> None:
        """The candidate becomes what a boot loads; refused if it was taken back in the meantime."""
        if not self.candidate.exists() or self.candidate.read_text() != ruleset:
            self.module.fail_json(
                msg="The new firewall rules were taken back before they could be confirmed; raise firewall_confirm_seconds."
            )
        self.disarm()
        self.candidate.replace(self.confirmed)
        self.seal.write_text(self.in_force() + "\n")


def normalized(ruleset: str) -> str:
    """With one line end."""
    return ruleset.rstrip("\n") + "\n"


def glance(asked: dict[str, Any]) -> dict[str, Any] | None:
    """The answer if nothing has to be done."""
    done = asked["state"] == "applied" and not Firewall(asked["table"], Path(asked["path"])).why_due(normalized(asked["ruleset"]))
    return {"reason": ""} if done else None


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    firewall = Firewall(module.params["table"], Path(module.params["path"]), module)
    ruleset = normalized(module.params["ruleset"])
    if module.params["state"] == "confirmed":
        if not module.check_mode:
            firewall.confirm(ruleset)
        module.exit_json(changed=True)
    reason = firewall.why_due(ruleset)
    if not reason:
        module.exit_json(changed=False, reason="")
    if not module.check_mode or shutil.which("nft"):
        firewall.check(ruleset)
    before = firewall.confirmed.read_text() if firewall.confirmed.exists() else ""
    if not module.check_mode:
        firewall.apply(ruleset, module.params["confirm_seconds"])
    said = {"before_header": "confirmed", "after_header": f"applied, because {reason}"}
    after = ruleset if ruleset != before else f"{ruleset}# {reason}\n"
    module.exit_json(changed=True, reason=reason, diff={"before": before, "after": after, **said})


if __name__ == "__main__":
    main()
