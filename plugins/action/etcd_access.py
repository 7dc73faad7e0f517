# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""M(elephant.ha.etcd_access) without a module where its glance is enough."""

from __future__ import annotations

from ansible_collections.elephant.ha.plugins.module_utils import etcd
from ansible_collections.elephant.ha.plugins.modules import etcd_access
from ansible_collections.elephant.ha.plugins.plugin_utils.glance import Glance


class ActionModule(Glance):
    """The action."""

    module = etcd_access
    uses = (etcd,)
