# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""M(elephant.ha.patroni_info) without a module where its glance is enough."""

from __future__ import annotations

from ansible_collections.elephant.ha.plugins.module_utils import copying, patroni_rest, units
from ansible_collections.elephant.ha.plugins.modules import patroni_info
from ansible_collections.elephant.ha.plugins.plugin_utils.glance import Glance


class ActionModule(Glance):
    """The action."""

    module = patroni_info
    uses = (units, copying, patroni_rest)
