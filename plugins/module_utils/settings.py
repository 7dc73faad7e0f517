# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Settings as Patroni keeps them. Standard library only: it runs on the hosts."""

from __future__ import annotations

from typing import Any


def without_nulls(value: Any) -> Any:
    """A setting of null means that it is not there, at every depth."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value
