"""Documentation that the etcd modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """The option by which each of them knows the cluster."""

    DOCUMENTATION = r"""
options:
  cluster:
    description: The declared members, the files that identify an administrator to them, and where the binaries are.
    type: dict
    required: true
    suboptions:
      members:
        description: The declared members.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: Name of the member.
            type: str
            required: true
          address:
            description: Address that it serves clients and peers on.
            type: str
            required: true
      ca_file:
        description: CA that signed the members' certificates.
        type: path
        required: true
      certificate_file:
        description: Certificate of the user C(root).
        type: path
        required: true
      key_file:
        description: Its private key.
        type: path
        required: true
      binaries:
        description: Directory of C(etcd) and C(etcdctl).
        type: path
        default: /usr/bin
"""
