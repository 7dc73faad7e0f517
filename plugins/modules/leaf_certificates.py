#!/usr/bin/python
# Copyright: (c) 2026, The Elephant authors
# SPDX-License-Identifier: Apache-2.0
"""Sign requests with a private CA on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: leaf_certificates
short_description: Sign requests with a private CA on the controller
description:
  - Signs the requests of M(elephant.ha.leaf_requests). What a certificate says comes from O(leaves); of a request only the public key is
    used, so that a host cannot ask for another's name.
  - Makes the CA if its folder has none. Several plays may do so at once, they get the same one.
  - It never decides whether a new CA is wanted. M(elephant.ha.leaf_requests) refuses on a host that has certificates of one that is gone.
version_added: 0.1.0
author: The Elephant authors (@elephant)
requirements:
  - cryptography
extends_documentation_fragment: [elephant.ha.leaves]
options:
  ca_directory:
    description: Folder of the CA's C(ca.crt) and C(ca.key).
    type: path
    required: true
  ca_passphrase:
    description: Passphrase of the CA's key; empty for none.
    type: str
    default: ""
  ca_common_name:
    description: Common name of a CA that is made.
    type: str
    default: Elephant CA
  ca_days:
    description: Days that a CA that is made lasts.
    type: int
    default: 3650
  days:
    description: Days that a certificate lasts, but never past the CA's own end.
    type: int
    default: 730
  requests:
    description: PEM of the signing requests, by the name of the leaf.
    type: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Nothing is made or signed.
  diff_mode:
    support: none
    description: M(elephant.ha.leaf_requests) has said why each certificate is due.
"""

EXAMPLES = r"""
- name: What is due is signed
  elephant.ha.leaf_certificates:
    ca_directory: ~/.local/share/elephant/elephant/ca
    leaves: "{{ leaves }}"
    requests: "{{ asked.requests }}"
  delegate_to: localhost
  register: signed
"""

RETURN = r"""
ca_certificate:
  description: PEM of the CA, with all certificates of its file.
  type: str
  returned: always
certificates:
  description: PEM of the certificates, by the name of the leaf.
  type: dict
  returned: always
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.elephant.ha.plugins.module_utils import leaves as pki

if pki.HAS_CRYPTOGRAPHY:
    from cryptography.hazmat.primitives import serialization


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One at a time, whatever process it is in."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def load_key(path: Path, passphrase: str) -> object:
    """The CA's key, with a sentence for each way in which it cannot be had."""
    try:
        return serialization.load_pem_private_key(path.read_bytes(), password=passphrase.encode() or None)
    except TypeError as error:
        fix = (
            "has no passphrase; leave certificates_ca_passphrase empty"
            if passphrase
            else "has a passphrase; set certificates_ca_passphrase"
        )
        raise pki.LeafError(f"The CA's key {path} {fix}.") from error
    except ValueError as error:
        raise pki.LeafError(f"The CA's key {path} cannot be read; certificates_ca_passphrase may be wrong ({error}).") from error


def authority(params: dict) -> tuple[str, object]:
    """PEM and key of the CA in its folder, made if there is none. To be called under the lock."""
    directory = Path(params["ca_directory"])
    certificate, key_file = directory / "ca.crt", directory / "ca.key"
    if certificate.exists() and not key_file.exists():
        raise pki.LeafError(
            f"{certificate} is there but {key_file} is not, so nothing can be signed. Bring the key back, or give each of "
            "certificates_leaves a certificate and a private_key of your own."
        )
    if not certificate.exists():
        # A key alone is the rest of an interrupted run: it has signed nothing yet.
        key = load_key(key_file, params["ca_passphrase"]) if key_file.exists() else pki.new_key()
        write(key_file, pki.key_pem(key, params["ca_passphrase"]), 0o600)
        made = pki.self_signed(params["ca_common_name"], key, params["ca_days"], pki.now())
        write(certificate, pki.certificate_pem(made).encode(), 0o644)
    key_file.chmod(0o600)
    key, pem = load_key(key_file, params["ca_passphrase"]), certificate.read_text()
    bundle = pki.load_bundle(pem)
    if not bundle or not pki.same_key(bundle[0].public_key(), key.public_key()):
        raise pki.LeafError(f"The first certificate of {certificate} is not that of {key_file}; put the CA that signs first.")
    if pki.moment(bundle[0], "after") <= pki.now():
        raise pki.LeafError(f"The CA in {certificate} has ended; see 'When the CA ends' in the README of the role certificates.")
    return pem, key


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "ca_directory": {"type": "path", "required": True},
            "ca_passphrase": {"type": "str", "default": "", "no_log": True},
            "ca_common_name": {"type": "str", "default": "Elephant CA"},
            "ca_days": {"type": "int", "default": 3650},
            "days": {"type": "int", "default": 730},
            "leaves": {"type": "list", "elements": "dict", "required": True, "options": pki.LEAF_OPTIONS},
            "requests": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    if not pki.HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    params = module.params
    directory = Path(params["ca_directory"])
    if module.check_mode:
        certificate = directory / "ca.crt"
        pem = certificate.read_text() if certificate.exists() else ""
        module.exit_json(changed=not pem or bool(params["requests"]), ca_certificate=pem, certificates={})
    try:
        wanted = {leaf["name"]: pki.Leaf.of(leaf) for leaf in params["leaves"]}
        with locked(directory):
            pem, key = authority(params)
        signer = pki.load_bundle(pem)[0]
        certificates = {
            name: pki.certificate_pem(pki.sign(wanted[name], csr, signer, key, params["days"], pki.now()))
            for name, csr in params["requests"].items()
        }
    except pki.LeafError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, ca_certificate=pem, certificates=certificates)


if __name__ == "__main__":
    main()
