"""The provider's schemas: read from `schema.json`, spoken in the classes of the `tf` framework."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from tf.blocks import SetNestedBlock
from tf.gen import tfplugin_pb2 as pb
from tf.schema import Attribute, Block, NestedBlock, NestMode, Schema, TextFormat
from tf.types import Bool, List, Map, Number, Set, String, TfType, Unknown

SCHEMA_FILE = Path(__file__).with_name("schema.json")
_PRIMITIVES = {"string": String, "number": Number, "bool": Bool}
_COLLECTIONS = {"list": List, "set": Set, "map": Map}


class _Object(TfType):
    """An object type inside a list, such as a storage tier's locations."""

    def __init__(self, fields: dict[str, Any]):
        self.fields = fields

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, value: Any) -> Any:
        return value

    def tf_type(self) -> bytes:
        return json.dumps(["object", self.fields]).encode()


class _SetBlock(SetNestedBlock):
    """A repeated block without order; min_items and max_items are told to the client too."""

    def __init__(self, name: str, block: Block, spec: dict[str, Any]):
        super().__init__(name, block)
        self.min_items, self.max_items = spec.get("min_items"), spec.get("max_items")


class _ListBlock(_SetBlock):
    """A repeated block with order, which the framework does not have."""

    def to_pb(self) -> pb.Schema.NestedBlock:
        message = super().to_pb()
        message.nesting = pb.Schema.NestedBlock.NestingMode.LIST
        return message

    def semantically_equal(self, a_decoded: Any, b_decoded: Any) -> bool:
        return a_decoded == b_decoded


class _SingleBlock(NestedBlock):
    """A block that is there at most once and is an object, not a list (`timeouts`)."""

    def __init__(self, name: str, block: Block):
        super().__init__(name, NestMode.Single, block)

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, value: Any) -> Any:
        return value

    def semantically_equal(self, a_decoded: Any, b_decoded: Any) -> bool:
        return a_decoded == b_decoded


@cache
def load() -> dict[str, Any]:
    """The schema file: keys `provider`, `resources` and `data_sources`, each type with `attributes` and perhaps `blocks`."""
    return json.loads(SCHEMA_FILE.read_text())


def build(spec: dict[str, Any]) -> Schema:
    """The framework's schema of one entry of the schema file. The version keeps state exchangeable with the real provider."""
    return Schema(attributes=_attributes(spec), block_types=_blocks(spec), version=spec.get("version", 0))


def _attributes(spec: dict[str, Any]) -> list[Attribute]:
    return [
        Attribute(
            name,
            _type(attribute["type"]),
            required=attribute.get("required", False),
            optional=attribute.get("optional", False),
            computed=attribute.get("computed", False),
            sensitive=attribute.get("sensitive", False),
            deprecated=attribute.get("deprecated", False),
            description_kind=TextFormat.Plain,
            requires_replace=attribute.get("force_new", False),
            default=Unknown,
        )
        for name, attribute in spec["attributes"].items()
    ]


def _blocks(spec: dict[str, Any]) -> list[NestedBlock]:
    blocks: list[NestedBlock] = []
    for name, inner in spec.get("blocks", {}).items():
        block = Block(attributes=_attributes(inner))
        if inner["nesting"] == "single":
            blocks.append(_SingleBlock(name, block))
        else:
            blocks.append((_ListBlock if inner["nesting"] == "list" else _SetBlock)(name, block, inner))
    return blocks


def _type(spec: Any) -> TfType:
    if isinstance(spec, str):
        return _PRIMITIVES[spec]()
    kind, inner = spec
    return _Object(inner) if kind == "object" else _COLLECTIONS[kind](_type(inner))
