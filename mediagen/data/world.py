"""What a generated world is made of: labels, backgrounds, styles, colours and the share of each kind of scene.

A world is read from a YAML file (two ship with the package, `small` and `whole`) into frozen dataclasses; an unknown
key is an error. Which combinations are held out of training follows from a hash of their names alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from .colours import TARGETS
from .emoji import DRAWERS, plain_code

RELATIONS = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "in front of": "behind",
    "behind": "in front of",
}


@dataclass(frozen=True, kw_only=True)
class Label:
    """A thing that can be drawn. code: its code point, "-" between the parts of a sequence. The fields are explained at
    the top of `worlds/small.yaml`.
    """

    name: str
    code: str
    aka: tuple[str, ...] = ()
    noun: str | None = None
    plural: str | None = None
    recolour: bool = False
    tint: bool = True
    floats: bool = False
    flip: bool = True
    mass: bool = False
    without: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.noun or self.name, *self.aka)

    @property
    def many(self) -> str:
        return self.plural or plural(self.noun or self.name)


@dataclass(frozen=True, kw_only=True)
class Background:
    """A named backdrop; phrases are true ways to say it behind an object."""

    name: str
    phrases: tuple[str, ...]
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Style:
    """A drawing style; named is the share of captions that say it, by a prefix or a suffix."""

    name: str
    weight: float
    named: float
    prefix: tuple[str, ...]
    suffix: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class World:
    """A recipe of scenes. scenes: weights of the kinds single, pair, count. recolour: share of changed colours among
    the labels that allow it. heldout: share of label x background and of label x label combinations never trained on.
    variety: how much turns, sizes and places differ from scene to scene, 1 for fully and 0 for not at all; a model that
    can see few scenes learns the shapes of a world of little variety.
    """

    name: str
    labels: tuple[Label, ...]
    backgrounds: tuple[Background, ...]
    styles: dict[str, Style]
    scenes: dict[str, float]
    colours: tuple[str, ...] = tuple(TARGETS)
    relations: tuple[str, ...] = ("left of", "right of", "above", "below")
    recolour: float = 0.35
    heldout: float = 0.05
    variety: float = 1.0

    def held_out(self, first: str, second: str) -> bool:
        """Whether label x background, or label x label in either order, is kept out of training."""
        text = "|".join(sorted((first, second)))
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        return number < self.heldout * 2**64

    @cached_property
    def by_name(self) -> dict[str, Label]:
        return {label.name: label for label in self.labels}


def plural(noun: str) -> str:
    """The usual rule: box -> boxes, cherry -> cherries, key -> keys, cat -> cats."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "z", "ch", "sh")) else f"{noun}s"


def load_world(name: str | Path) -> World:
    """A world that ships with the package (by name) or one of your own (path of a YAML file)."""
    import yaml

    file = resources.files(__package__) / "worlds" / f"{name}.yaml"
    if not file.is_file():
        file = Path(name)
    if not file.is_file():
        known = sorted(
            entry.name[:-5]
            for entry in (resources.files(__package__) / "worlds").iterdir()
            if entry.name.endswith(".yaml")
        )
        raise ValueError(f"unknown world {str(name)!r}; known are {', '.join(known)}, or give the path of a YAML file")
    return read_world(yaml.safe_load(file.read_text(encoding="utf-8")))


def read_world(content: dict[str, Any]) -> World:
    """A world from the content of its file; raises ValueError naming the entry that is wrong."""
    content = dict(content)
    content["labels"] = tuple(_label(name, entry) for name, entry in content["labels"].items())
    content["backgrounds"] = tuple(_entry(Background, name, entry) for name, entry in content["backgrounds"].items())
    content["styles"] = {str(name): _entry(Style, str(name), entry) for name, entry in content["styles"].items()}
    for key in ("colours", "relations"):
        if key in content:
            content[key] = tuple(content[key])
    world = _made(World, content, "world")
    _check(world)
    return world


def _label(name: str, entry: Any) -> Label:
    entry = dict(entry) if isinstance(entry, dict) else {"code": entry}
    return _entry(Label, name, {**entry, "code": plain_code(str(entry["code"]))})


def _entry(kind: type, name: str, entry: dict[str, Any]) -> Any:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return _made(kind, {"name": name, **values}, f"{kind.__name__.lower()} {name!r}")


def _made(kind: type, values: dict[str, Any], what: str) -> Any:
    known = {field.name for field in fields(kind)}
    if wrong := sorted(set(values) - known):
        raise ValueError(f"{what}: unknown key {wrong[0]!r}; known are {', '.join(sorted(known))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from error


def _check(world: World) -> None:
    from .backgrounds import PAINTERS

    _known("style", world.styles, DRAWERS)
    _known("colour", world.colours, TARGETS)
    _known("relation", world.relations, RELATIONS)
    _known("background", [b.name for b in world.backgrounds], PAINTERS)
    _known("kind of scene", world.scenes, ("single", "pair", "count"))
    codes = [label.code for label in world.labels]
    if len(set(codes)) < len(codes):
        raise ValueError(f"world {world.name!r}: code point {max(codes, key=codes.count)} is used by two labels")
    if not 0 <= world.variety <= 1:
        raise ValueError(f"world {world.name!r}: variety is {world.variety}; it must be 0 to 1")
    if not 0 <= world.heldout < 0.5:
        raise ValueError(f"world {world.name!r}: heldout is {world.heldout}; it must be at least 0 and below 0.5")


def _known(what: str, names: Any, known: Any) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; known are {', '.join(known)}")
