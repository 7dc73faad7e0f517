"""Plans as the real provider makes them: defaults, force-new, and a zero that is as good as nothing.

The real provider stands on an SDK that plans values which differ from the configuration (a default where nothing is written);
the protocol allows that to providers that announce the legacy type system, and so does the stand-in. Values are the plain
objects of the wire: None, str, bool, int, float, list, dict, and Unknown.
"""

import ipaddress
from typing import Any

from tf.types import Unknown

Spec = dict[str, Any]
State = dict[str, Any]
_ZERO: dict[str, Any] = {"string": "", "number": 0, "bool": False}


def zero(kind: Any) -> Any:
    """The value that stands for "not there" in an attribute's type, as the real provider's language has it."""
    return _ZERO[kind] if isinstance(kind, str) else ({} if kind[0] == "map" else [])


def is_zero(value: Any) -> bool:
    """Whether a value is nothing, or as good as nothing."""
    return value is None or (value is not Unknown and value in ("", 0, False, [], {}))


def blank(spec: Spec) -> State:
    """A state in which nothing is known: every attribute null, no repeated block there."""
    blocks = {name: None if block["nesting"] == "single" else [] for name, block in spec.get("blocks", {}).items()}
    return dict.fromkeys(spec["attributes"]) | blocks


def plan(spec: Spec, prior: State | None, proposed: State) -> tuple[State, list[str]]:
    """The planned state for a create (`prior` None) or an update, and the names whose change forces a new object."""
    planned, replace = dict(proposed), []
    for name, attribute in spec["attributes"].items():
        old = None if prior is None else prior[name]
        planned[name] = _value(attribute, old, proposed[name], prior is None)
        if prior is not None and attribute.get("force_new") and not same(attribute["type"], old, planned[name]):
            replace.append(name)
    for name, block in spec.get("blocks", {}).items():
        if block["nesting"] == "single":
            continue
        old = [] if prior is None else prior[name]
        if block.get("computed") and not proposed[name]:
            planned[name] = old
        else:
            # The client has paired the elements with the prior ones already, so their computed values are in place.
            planned[name] = [{n: _value(a, None, item[n], True) for n, a in block["attributes"].items()} for item in proposed[name]]
        if prior is not None and block.get("force_new") and planned[name] != old:
            replace.append(name)
    return planned, replace


def same(kind: Any, a: Any, b: Any) -> bool:
    """Whether two values are equal; sets without regard to order."""
    if isinstance(kind, list) and kind[0] == "set" and isinstance(a, list) and isinstance(b, list):
        return sorted(map(str, a)) == sorted(map(str, b))
    return a is b or (a is not Unknown and b is not Unknown and a == b)


def _value(attribute: Spec, old: Any, new: Any, fresh: bool) -> Any:
    """One planned value. `fresh`: there is no prior object, so what the API will decide is unknown."""
    if new is None and "default" in attribute:
        new = attribute["default"]
    if fresh:
        return Unknown if new is None and attribute.get("computed") else new
    if not attribute.get("computed") and is_zero(old) and is_zero(new):
        return old
    if attribute.get("ignore_case") and isinstance(old, str) and isinstance(new, str) and _same_text(old, new):
        return old
    return new


def _same_text(a: str, b: str) -> bool:
    """Equal but for case, or two spellings of one address."""
    try:
        return a.casefold() == b.casefold() or ipaddress.ip_address(a) == ipaddress.ip_address(b)
    except ValueError:
        return False
