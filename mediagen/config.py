"""YAML <-> frozen dataclasses. An unknown key, a missing key or a wrong kind of value is an error that names it."""

import dataclasses
import types
import typing
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read(path: str | Path, kind: type[T]) -> T:
    """A YAML file -> an instance of `kind`. ValueError if it cannot be read or does not fit."""
    import yaml

    try:
        text = Path(path).read_text()
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the configuration {path}: {error}") from error
    return build(kind, values, str(path))


def build(kind: type[T], values: Any, where: str = "configuration") -> T:
    """A plain mapping -> the dataclass `kind`, nested dataclasses and tuples included."""
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be a mapping of {', '.join(_names(kind))}, not {values!r}")
    unknown = sorted(set(values) - set(_names(kind)))
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(_names(kind))}")
    missing = [f.name for f in dataclasses.fields(kind) if _required(f) and f.name not in values]
    if missing:
        raise ValueError(f"{where}: the key {missing[0]!r} is missing")
    hints = _hints(kind)
    return kind(**{name: _fit(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def plain(value: Any) -> Any:
    """The inverse of `build`: dataclasses and tuples -> mappings and lists, ready for YAML or JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@cache
def _hints(kind: type) -> dict[str, Any]:
    """What its fields are, found once: every call of a model builds some of them."""
    return typing.get_type_hints(kind)


def _names(kind: type) -> list[str]:
    return [f.name for f in dataclasses.fields(kind)]


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _fit(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [h for h in typing.get_args(hint) if h is not type(None)]
        return None if value is None and len(inner) < len(typing.get_args(hint)) else _fit(inner[0], value, where)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where} must be a list, not {value!r}")
        return tuple(_fit(typing.get_args(hint)[0], v, where) for v in value)
    if origin is dict or hint is Any:
        return value
    if hint is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ValueError(f"{where} must be {hint.__name__}, not {value!r}")
    return value
