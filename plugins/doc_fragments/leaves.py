"""Documentation that the modules of certificates share."""

from __future__ import annotations


class ModuleDocFragment:
    """The option by which each of them knows what is wanted; its argument spec is LEAF_OPTIONS of module_utils/leaves.py."""

    DOCUMENTATION = r"""
options:
  leaves:
    description: The certificates that the host should have, and what each says.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the files, without C(.crt) and C(.key).
        type: str
        required: true
      common_name:
        description: Common name of the subject. Empty for none.
        type: str
        required: true
      subject_alt_names:
        description: Names that clients may connect to, as C(DNS:name) and C(IP:address).
        type: list
        elements: str
        default: []
      usages:
        description: Extended key usages.
        type: list
        elements: str
        choices: [serverAuth, clientAuth]
        required: true
      owner:
        description: User who owns the files.
        type: str
        default: root
      group:
        description: Group of the files.
        type: str
        default: root
      certificate:
        description: PEM of a certificate of your own. It is installed as it is, and never renewed.
        type: str
        default: ""
      private_key:
        description: PEM of its private key, without a passphrase.
        type: str
        default: ""
"""
