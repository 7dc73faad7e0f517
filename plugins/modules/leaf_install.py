#!/usr/bin/python
# Copyright: (c) 2026, The Elephant authors
# SPDX-License-Identifier: Apache-2.0
"""Put signed certificates and the keys that were made for them in place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: leaf_install
short_description: Put signed certificates and the keys that were made for them in place
description:
  - Takes what M(elephant.ha.leaf_certificates) signed, holds each certificate against the key that M(elephant.ha.leaf_requests) made for
    it, and only then moves both into place.
  - Supplied certificates and the CA's certificate are written as they are given.
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
    description: PEM of the CA.
    type: str
    required: true
  certificates:
    description: PEM of the certificates that were signed, by the name of the leaf.
    type: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Says that it would put them in place.
  diff_mode:
    support: none
    description: M(elephant.ha.leaf_requests) has said why each certificate is due.
"""

EXAMPLES = r"""
- name: What was signed is in place
  elephant.ha.leaf_install:
    directory: /etc/elephant/certificates
    ca_certificate: "{{ signed.ca_certificate }}"
    leaves: "{{ leaves }}"
    certificates: "{{ signed.certificates }}"
  notify: certificates changed
"""

RETURN = r"""
installed:
  description: Names of the certificates that were put in place.
  type: list
  elements: str
  returned: always
"""

import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.elephant.ha.plugins.module_utils import leaves as pki

if pki.HAS_CRYPTOGRAPHY:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization


def place(module: AnsibleModule, path: Path, content: bytes, leaf: pki.Leaf | None, mode: str) -> None:
    """One file, whole or not at all, with its owner and mode from the first moment."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as fresh:
        fresh.write(content)
    owner, group = (leaf.owner, leaf.group) if leaf else ("root", "root")
    module.set_fs_attributes_if_different(
        module.load_file_common_arguments({"path": fresh.name, "owner": owner, "group": group, "mode": mode}), changed=False
    )
    Path(fresh.name).replace(path)


def checked(leaf: pki.Leaf, certificate: str, key: bytes, authorities: list, source: str) -> None:
    """A pair that does not fit would stop a service at its next start: refuse it while the old one is in place."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate.encode())
        opened = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise pki.LeafError(f"The {source} certificate or key of {leaf.name} cannot be read: {error}.") from error
    if not pki.same_key(parsed.public_key(), opened.public_key()):
        raise pki.LeafError(f"The {source} certificate of {leaf.name} does not belong to its key.")
    if leaf.supplied and not any(pki.issued_by(parsed, it) for it in [*authorities, *pki.load_bundle(certificate)[1:]]):
        raise pki.LeafError(f"The supplied certificate of {leaf.name} is not signed by a CA of the controller's ca.crt; put its CA there.")


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "ca_certificate": {"type": "str", "required": True},
            "leaves": {"type": "list", "elements": "dict", "required": True, "options": pki.LEAF_OPTIONS},
            "certificates": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    if not pki.HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    directory, signed = Path(module.params["directory"]), module.params["certificates"]
    try:
        wanted = [pki.Leaf.of(leaf) for leaf in module.params["leaves"]]
        authorities = pki.load_bundle(module.params["ca_certificate"])
        pairs = []
        for leaf in wanted:
            fresh = directory / f"{leaf.name}.key.new"
            if leaf.supplied:
                pairs.append((leaf, leaf.certificate, leaf.private_key.encode(), "supplied"))
            elif leaf.name in signed:
                pairs.append((leaf, signed[leaf.name], fresh.read_bytes(), "signed"))
        for leaf, certificate, key, source in pairs:
            checked(leaf, certificate, key, authorities, source)
    except FileNotFoundError as error:
        module.fail_json(msg=f"{error.filename} is gone between request and certificate; run the play again.")
    except pki.LeafError as error:
        module.fail_json(msg=str(error))
    if not module.check_mode:
        # The CA first: no moment in which a new certificate's issuer is unknown here.
        place(module, directory / "ca.crt", module.params["ca_certificate"].strip().encode() + b"\n", None, "0644")
        for leaf, certificate, key, _source in pairs:
            place(module, directory / f"{leaf.name}.key", key.strip() + b"\n", leaf, "0600")
            place(module, directory / f"{leaf.name}.crt", certificate.strip().encode() + b"\n", leaf, "0644")
            (directory / f"{leaf.name}.key.new").unlink(missing_ok=True)
    module.exit_json(changed=True, installed=["ca", *[pair[0].name for pair in pairs]])


if __name__ == "__main__":
    main()
