"""Motion worlds from YAML files (two ship with the package, `small` and `whole`); an unknown key is an error."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ... import config
from .kinds import KINDS
from .world import PLAIN_MANNER, VECTORS, Manner, MotionWorld


def load_motion(name: str | Path) -> MotionWorld:
    """A world that ships with the package (by name) or one of your own (path of a YAML file)."""
    import yaml

    folder = resources.files(__package__)
    file = folder / f"{name}.yaml" if str(name) in ("small", "whole") else Path(name)
    if not file.is_file():
        raise ValueError(f"unknown motion world {str(name)!r}; known are small, whole, or give the path of a YAML file")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    manners = yaml.safe_load((folder / "manners.yaml").read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{name} is no description of a motion world: it must be a mapping")
    return read_motion({**manners, **content})


def read_motion(content: Mapping[str, Any]) -> MotionWorld:
    """A world from the content of its file; raises ValueError naming the entry that is wrong."""
    content = dict(content)
    for key in ("manners", "faces", "over"):
        if not isinstance(content.get(key), dict):
            raise ValueError(f"motion world: {key} must be a mapping, not {content.get(key)!r}")
    content["manners"] = {
        name: config.build(Manner, entry, f"manner {name!r}") for name, entry in content["manners"].items()
    }
    for key in ("faces", "over"):
        content[key] = {name: tuple(entry) for name, entry in content[key].items()}
    world = config.build(MotionWorld, content, "motion world")
    _check(world)
    return world


def _check(world: MotionWorld) -> None:
    _known("kind of motion", world.kinds, KINDS)
    _known("direction", world.directions, VECTORS)
    _known("way", world.ways, ("inside", "out", "in"))
    _known("path", world.paths, ("straight", "arc"))
    _known("style", world.styles, world.scenes.styles)
    _known("background", world.scenery, world.backdrops)
    _known("manner", [PLAIN_MANNER], world.manners)
    _known("side that is faced", world.faces, ("left", "right"))
    if world.kinds.get("orbit") and not world.models:
        raise ValueError(f"motion world {world.name!r}: clips of the kind 'orbit' need models, and none are named")
    least = {"frames": 5, "size": 32, "rate": 1}
    for name, value in least.items():
        if getattr(world, name) < value:
            raise ValueError(
                f"motion world {world.name!r}: {name} is {getattr(world, name)}; it must be {value} or more"
            )
    if not 0 <= world.heldout < 0.5:
        raise ValueError(f"motion world {world.name!r}: heldout is {world.heldout}; it must be from 0 and below 0.5")
    if len(world.extent) != 2 or not 0.15 <= world.extent[0] <= world.extent[1] <= 0.6:
        raise ValueError(
            f"motion world {world.name!r}: extent is {list(world.extent)}; it must be two rising shares, 0.15 to 0.6"
        )


def _known(what: str, names: Any, known: Any) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; known are {', '.join(known)}")
