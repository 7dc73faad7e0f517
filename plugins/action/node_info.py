# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""M(elephant.ha.node_info) without a module where its glance is enough."""

from __future__ import annotations

from ansible_collections.elephant.ha.plugins.module_utils import units
from ansible_collections.elephant.ha.plugins.modules import node_info
from ansible_collections.elephant.ha.plugins.plugin_utils.glance import Glance


class ActionModule(Glance):
    """The action."""

    module = node_info
    uses = (units,)
