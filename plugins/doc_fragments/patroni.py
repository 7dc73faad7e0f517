"""Documentation that the modules of a Patroni member share."""

from __future__ import annotations


class ModuleDocFragment:
    """How they speak with the member, and some with etcd; the argument specs are in module_utils/patroni_rest.py."""

    DOCUMENTATION = r"""
options:
  url:
    description: The member's REST API, as C(https://address:port).
    type: str
    required: true
"""

    TLS = r"""
options:
  ca_file:
    description: CA of Patroni's REST API and of etcd.
    type: path
    required: true
  certificate_file:
    description: Client certificate to show.
    type: path
    required: true
  key_file:
    description: Its private key.
    type: path
    required: true
"""

    STORE = r"""
options:
  etcd_urls:
    description: etcd's members, as C(https://address:port).
    type: list
    elements: str
    required: true
  etcd_username:
    description: etcd user.
    type: str
    default: patroni
  etcd_password:
    description: Its password.
    type: str
    required: true
"""
