"""A world made from another one: a file that names its `base`, what it keeps `only`, and what it has differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEPT = ("genres", "instruments", "modes", "metres")
PITCHED = ("lead", "chords", "pad", "bass")


def based(content: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The whole content of a world: that of its base, narrowed to `only`, with the other keys laid over it.

    Mappings are laid over one another key by key, all else is replaced. ValueError for a name in `only` that the base
    does not know, or if a genre is left without a metre, a mode or an instrument for its solos.
    """
    rest = {key: value for key, value in content.items() if key not in ("base", "only")}
    return _laid(narrowed(base, content.get("only") or {}), rest)


def _laid(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: _laid(below.get(key), value) for key, value in above.items()}}


def narrowed(content: Mapping[str, Any], only: Mapping[str, list[str]]) -> dict[str, Any]:
    """A world's content with these genres, instruments, modes and metres only; what is not named keeps all.

    A role that has no instrument left is not played.
    """
    genres = content["genres"]
    known = {"genres": genres, "instruments": content["instruments"], "modes": _inner(genres, "harmony"),
             "metres": _inner(genres, "metres")}  # fmt: skip
    for key, names in only.items():
        if key not in KEPT:
            raise ValueError(f"only: unknown key {key!r}; known are {', '.join(KEPT)}")
        if unknown := [name for name in names if name not in known[key]]:
            raise ValueError(f"only, {key}: unknown {unknown[0]!r}; known are {', '.join(known[key])}")
    kept = {key: set(only.get(key, known[key])) for key in KEPT}
    return {
        **content,
        "instruments": _only(content["instruments"], kept["instruments"]),
        "genres": {name: _genre(name, genre, kept) for name, genre in genres.items() if name in kept["genres"]},
    }


def _genre(name: str, genre: Mapping[str, Any], kept: Mapping[str, set[str]]) -> dict[str, Any]:
    roles = {r: _voice(v, kept["instruments"]) if r in PITCHED else v for r, v in genre["roles"].items()}
    found = {
        "metres": _only(genre["metres"], kept["metres"]),
        "harmony": _only(genre["harmony"], kept["modes"]),
        "solo": [i for i in genre["solo"] if i in kept["instruments"]],
    }
    for key, left in found.items():
        if not left:
            raise ValueError(
                f"only: nothing is left of {key} of the genre {name!r}; keep one of {', '.join(genre[key])}"
            )
    return {**genre, **found, "roles": roles}


def _voice(voice: Mapping[str, Any], instruments: set[str]) -> dict[str, Any]:
    left = [i for i in voice["instruments"] if i in instruments]
    return {**voice, "instruments": left, "play": voice["play"] if left else 0}


def _only(mapping: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key in names}


def _inner(genres: Mapping[str, Any], key: str) -> list[str]:
    return list(dict.fromkeys(name for genre in genres.values() for name in genre[key]))
