# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""M(elephant.ha.leaf_requests) without a module where its glance is enough."""

from __future__ import annotations

from ansible_collections.elephant.ha.plugins.module_utils import leaves
from ansible_collections.elephant.ha.plugins.modules import leaf_requests
from ansible_collections.elephant.ha.plugins.plugin_utils.glance import Glance


class ActionModule(Glance):
    """The action."""

    module = leaf_requests
    uses = (leaves,)
