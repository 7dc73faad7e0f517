"""Documentation that the modules of a Patroni member share."""

from __future__ import annotations


class ModuleDocFragment:
    """The options by which each of them speaks with the member; their argument spec is patroni_rest.REST_OPTIONS."""

    DOCUMENTATION = r"""
options:
  url:
    description: The member's REST API, as C(https://address:port).
    type: str
    required: true
  ca_file:
    description: CA that signed the API's certificate.
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
