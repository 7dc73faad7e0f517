#!/usr/bin/python
# Copyright: (c) 2026, The Elephant authors
# SPDX-License-Identifier: Apache-2.0
"""Judge a host's certificates, and ask for those that are due."""

from __future__ import annotations

DOCUMENTATION = r"""
module: leaf_requests
short_description: Judge a host's certificates, and ask for those that are due
description:
  - Looks at all certificates that a host should have and says which are due, and why - absent, of another CA, with other names or usages,
    with a key that does not fit, or near their end.
  - For each that is due a new ECDSA P-256 key is written beside the old one, which stays in use, and a signing request is returned.
    M(elephant.ha.leaf_certificates) signs it on the controller, M(elephant.ha.leaf_install) puts both in place. A key never leaves its
    host.
  - Owner and mode of what is in place are repaired.
version_added: 0.1.0
author: The Elephant authors (@elephant)
requirements:
  - python3-cryptography
extends_documentation_fragment: [elephant.ha.leaves]
options:
  directory:
    description: Folder on the host.
    type: path
    required: true
  ca_certificate:
    description: PEM of the CA; the first certificate is the one that signs, further ones are trusted. Empty when there is no CA yet.
    type: str
    required: true
  renew_before_days:
    description: Days before its end from which a certificate is due.
    type: int
    default: 90
  accept_new_authority:
    description: Replace certificates even if the CA that signed them is no longer among those of O(ca_certificate).
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Nothing is written, and no request is made.
  diff_mode:
    support: full
    description: Says why each certificate is due.
"""

EXAMPLES = r"""
- name: The certificates that are due are known
  elephant.ha.leaf_requests:
    directory: /etc/elephant/certificates
    ca_certificate: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"
    leaves:
      - name: server
        common_name: node-1
        subject_alt_names: [DNS:node-1, IP:192.0.2.1]
        usages: [serverAuth]
  register: asked
"""

RETURN = r"""
due:
  description: Why each certificate that is due is so, by its name. C(ca) stands for the CA's own certificate on the host.
  type: dict
  returned: always
  sample: {server: it ends on 2027-01-01}
requests:
  description: PEM of a signing request for each certificate that is due and not supplied, by its name. Empty in check mode.
  type: dict
  returned: always
days_left:
  description: Days to the end of each certificate that is in place, by its name.
  type: dict
  returned: always
"""

import grp
import pwd
import stat
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.elephant.ha.plugins.module_utils import leaves as pki

if pki.HAS_CRYPTOGRAPHY:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

ARGUMENTS = {
    "directory": {"type": "path", "required": True},
    "ca_certificate": {"type": "str", "required": True},
    "leaves": {"type": "list", "elements": "dict", "required": True, "options": pki.LEAF_OPTIONS},
    "renew_before_days": {"type": "int", "default": 90},
    "accept_new_authority": {"type": "bool", "default": False},
}
NO_AUTHORITY = (
    "This host has certificates ({names}), but their CA is not on the controller. A new CA would cut this host off from the living "
    "cluster, so none is made. Bring back the CA's folder from your copy of ELEPHANT_HOME; if there is none, docs/recovery.md has the way "
    "(playbooks/cluster/recover_folder.yml brings its certificate from the hosts)."
)
OTHER_AUTHORITY = (
    "The certificates {names} on this host were signed by a CA that is not in the controller's ca.crt. Is this the right cluster's folder? "
    "To move to a new CA, take the steps in the README of the role certificates; to cut over at once, set "
    "certificates_accept_new_authority to true."
)
NEWCOMER = (
    "The first certificate of the controller's ca.crt is one that this host does not trust yet. What runs here may read its CA only when "
    "it starts, and would refuse what the new one signs: put the old CA first and the new one after it for one run, then the new one first."
)


def load(path: Path, reader: object) -> object | None:
    """Read a PEM file; a file that is absent or spoilt is None, which makes the leaf due."""
    try:
        return reader(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def private_key(pem: bytes) -> object:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:  # it has a passphrase, which no service could give
        raise ValueError(str(error)) from error


def supplied_reason(leaf: pki.Leaf, directory: Path) -> str:
    """Why a certificate of the user's own is not yet in place."""
    for suffix, wanted in ((".crt", leaf.certificate), (".key", leaf.private_key)):
        path = directory / f"{leaf.name}{suffix}"
        if not path.exists() or path.read_text().strip() != wanted.strip():
            return "another one is supplied" if path.exists() else "it is supplied, and not in place"
    return ""


def judge(asked: dict[str, Any], wanted: list[pki.Leaf], directory: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Why each leaf is due, and the days that those in place have left. Raises LeafError."""
    at, bundle = pki.now(), pki.load_bundle(asked["ca_certificate"])
    due: dict[str, str] = {}
    days: dict[str, int] = {}
    strangers = []
    for leaf in wanted:
        certificate = load(directory / f"{leaf.name}.crt", x509.load_pem_x509_certificate)
        if certificate is not None:
            days[leaf.name] = (pki.moment(certificate, "after") - at).days
        if leaf.supplied:
            reason = supplied_reason(leaf, directory)
        elif certificate is None:
            reason = "it is not there"
        elif not bundle:
            strangers.append(leaf.name)
            continue
        else:
            if not any(pki.issued_by(certificate, authority) for authority in bundle):
                strangers.append(leaf.name)
            key = load(directory / f"{leaf.name}.key", private_key)
            reason = pki.why_due(leaf, certificate, key, bundle, at, asked["renew_before_days"])
        if reason:
            due[leaf.name] = reason
    if strangers and not (bundle and asked["accept_new_authority"]):
        raise pki.LeafError((OTHER_AUTHORITY if bundle else NO_AUTHORITY).format(names=", ".join(strangers)))
    installed = directory / "ca.crt"
    known = load(installed, x509.load_pem_x509_certificates)
    if "another CA signed it" in due.values() and known and bundle[0] not in known and not asked["accept_new_authority"]:
        raise pki.LeafError(NEWCOMER)
    if not installed.exists() or installed.read_text().strip() != asked["ca_certificate"].strip():
        due["ca"] = "it is not what the controller has" if installed.exists() else "it is not there"
    return due, days


def owned(wanted: list[pki.Leaf], directory: Path) -> list[tuple[Path, str, str, str]]:
    """The folders and files that are there, with the owner, group and mode that they should have."""
    files = [
        (directory.parent, "root", "root", "0755"),
        (directory, "root", "root", "0755"),
        (directory / "ca.crt", "root", "root", "0644"),
    ]
    for leaf in wanted:
        files += [
            (directory / f"{leaf.name}.key", leaf.owner, leaf.group, "0600"),
            (directory / f"{leaf.name}.crt", leaf.owner, leaf.group, "0644"),
        ]
    return [file for file in files if file[0].exists()]


def as_owned(path: Path, owner: str, group: str, mode: str) -> bool:
    """Whether the path has this owner, group and mode."""
    found = path.stat()
    try:
        wanted = (pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid, int(mode, 8))
    except KeyError:
        return False
    return (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == wanted


def repair(module: AnsibleModule, wanted: list[pki.Leaf], directory: Path) -> list[str]:
    """Put owner and mode of the folder and of the files in it right; answer a line for each that was not."""
    repaired = []
    for path, owner, group, mode in owned(wanted, directory):
        attributes = module.load_file_common_arguments({"path": str(path), "owner": owner, "group": group, "mode": mode})
        if module.set_fs_attributes_if_different(attributes, changed=False):
            repaired.append(f"{path} belongs to {owner}:{group}, mode {mode}\n")
    return repaired


def ask(leaf: pki.Leaf, directory: Path) -> str:
    """A new key in a file of its own; the one in use stays until its certificate has come."""
    key = pki.new_key()
    path = directory / f"{leaf.name}.key.new"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(pki.key_pem(key))
    return pki.request(leaf, key)


def glance(asked: dict[str, Any]) -> dict[str, Any] | None:
    """The answer if nothing is due and every file has its owner and mode."""
    if not pki.HAS_CRYPTOGRAPHY:
        return None
    directory = Path(asked["directory"])
    try:
        wanted = [pki.Leaf.of(leaf) for leaf in asked["leaves"]]
        due, days = judge(asked, wanted, directory)
    except pki.LeafError:
        return None
    settled = not due and all(as_owned(*file) for file in owned(wanted, directory))
    return {"due": {}, "requests": {}, "days_left": days} if settled else None


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    directory = Path(module.params["directory"])
    if not pki.HAS_CRYPTOGRAPHY:
        if not module.check_mode:
            module.fail_json(msg=missing_required_lib("cryptography"))
        # A blank host in check mode: the package is not there yet, and so nothing else is.
        names = [leaf["name"] for leaf in module.params["leaves"]]
        due = dict.fromkeys([*names, "ca"], "it is not there")
        module.exit_json(changed=True, due=due, requests={}, days_left={}, diff={"before": "", "after": told(due)})
    try:
        wanted = [pki.Leaf.of(leaf) for leaf in module.params["leaves"]]
        due, days = judge(module.params, wanted, directory)
        repaired = repair(module, wanted, directory)
        requests = {}
        if due and not module.check_mode:
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            requests = {leaf.name: ask(leaf, directory) for leaf in wanted if leaf.name in due and not leaf.supplied}
    except pki.LeafError as error:
        module.fail_json(msg=str(error))
    after = told(due) + "".join(repaired)
    diff = {"diff": {"before": "", "after": after}} if after else {}
    module.exit_json(changed=bool(after), due=due, requests=requests, days_left=days, **diff)


def told(due: dict[str, str]) -> str:
    """One line for each that is due."""
    return "".join(f"{name} is due: {reason}\n" for name, reason in sorted(due.items()))


if __name__ == "__main__":
    main()
