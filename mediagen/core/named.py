"""Python's modules are the registry: find a module's public members by looking, and name the choices when one is
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def members(namespace: Mapping[str, Any], keep: Callable[[Any], bool]) -> dict[str, Any]:
    """Public names of a module (`vars(module)` or `globals()`) whose value passes `keep`, in order of definition."""
    return {name: value for name, value in namespace.items() if not name.startswith("_") and keep(value)}


def find(kind: str, table: Mapping[str, T], name: str) -> T:
    """`table[name]`, or a ValueError that names the unknown value and the known ones."""
    if name not in table:
        raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(sorted(table))}")
    return table[name]
