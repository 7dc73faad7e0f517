"""The provider as a process: what tofu starts and talks to."""

import os
from typing import Any

import tf.provider
from tf.iface import Provider, Resource, DataSource
from tf.runner import run_provider
from tf.schema import Schema
from tf.utils import Diagnostics

from local.provider import ADDRESS, schema


def _types(section, base):
    out = []
    for name, spec in schema.load()[section].items():
        out.append(
            type(name, (base,), {
                "__init__": lambda self, p: None,
                "get_name": classmethod(lambda cls, n=name: n.removeprefix("vultr_")),
                "get_schema": classmethod(lambda cls, s=spec: schema.build(s)),
                "create": None, "read": None, "update": None, "delete": None,
            })
        )
    return out


class Stand(Provider):
    def get_model_prefix(self):
        return "vultr_"

    def full_name(self):
        return ADDRESS

    def get_provider_schema(self, diags):
        return schema.build(schema.load()["provider"])

    def validate_config(self, diags, config):
        pass

    def configure_provider(self, diags, config):
        pass

    def get_resources(self):
        return _types("resources", Resource)

    def get_data_sources(self):
        return _types("data_sources", DataSource)


def serve():
    run_provider(Stand())
