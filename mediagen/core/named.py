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


def made(kind: str, table: Mapping[str, Callable[..., T]], spec: Mapping[str, Any]) -> T:
    """{"name": ..., **options} as files and requests write it -> `table[name](**options)`; an option that is such a
    mapping itself is made first. ValueError for an unknown name or option.
    """
    options = {k: made(kind, table, v) if isinstance(v, Mapping) else v for k, v in spec.items() if k != "name"}
    try:
        return find(kind, table, str(spec.get("name")))(**options)
    except TypeError as error:
        raise ValueError(f"{kind} {dict(spec)}: {error}") from error
