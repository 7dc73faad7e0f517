"""What the real provider refuses at plan time, in its words; the rules are in the schema file."""

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

from tf.types import Unknown

from local.provider.planner import Spec, State


def problems(spec: Spec, config: State) -> Iterator[tuple[str, list[str]]]:
    """What is wrong with a configuration: sentences, each with the top-level name it is about."""
    for name, attribute in spec["attributes"].items():
        yield from ((sentence, [name]) for sentence in _judge(name, attribute, config.get(name)))
    for name, block in spec.get("blocks", {}).items():
        items = config.get(name)
        for index, item in enumerate(items if isinstance(items, list) else []):
            for inner, attribute in block["attributes"].items():
                yield from ((sentence, [name]) for sentence in _judge(f"{name}.{index}.{inner}", attribute, item[inner]))


def _judge(name: str, attribute: Spec, value: Any) -> Iterator[str]:
    if value is None or value is Unknown:
        return
    if "one_of" in attribute and value not in attribute["one_of"]:
        yield f"expected {name} to be one of [{' '.join(json.dumps(choice) for choice in attribute['one_of'])}], got {value}"
    if "between" in attribute and not attribute["between"][0] <= value <= attribute["between"][1]:
        yield f"expected {name} to be in the range ({attribute['between'][0]} - {attribute['between'][1]}), got {value}"
    if "address" in attribute and not _address(value, attribute["address"]):
        yield f"expected {name} to contain a valid {'IPv4 address' if attribute['address'] == 4 else 'IP'}, got: {value}"
    if attribute.get("integer") and value != int(value):
        yield f'"{name}" must be a whole number, got {value}'


def _address(value: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(value).version == version or version == 0
    except ValueError:
        return False
