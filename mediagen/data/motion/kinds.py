"""Kinds of clips: who moves how, settled by weight before any thing or place is chosen, and what may do what where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backgrounds import GROUND, PLAIN
from ..world import Label
from .tracks import MOVES
from .world import MotionWorld, pick

KINDS = (*MOVES, "alive", "orbit", "pan", "zoom", "pair", "cross")
LANES = ("still", "move", "spin", "shake")  # what each thing of a pair may do
SIDES = {"left": 1.0, "right": 1.0}


@dataclass(frozen=True, kw_only=True)
class Motif:
    """What one thing, or the camera, does."""

    kind: str
    direction: str | None = None
    way: str | None = None
    path: str | None = None

    @property
    def name(self) -> str:
        """What a label is held out with: "spin", "move left", "zoom in"."""
        return f"{self.kind} {self.direction}" if self.direction else self.kind


STILL = Motif(kind="still")


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A clip before anything has a name. layout: single; rows or columns, the lanes of a pair; cross, where the second
    thing passes behind the first, or in front of it. camera: what it does, or None."""

    kind: str
    motifs: tuple[Motif, ...]
    camera: Motif | None = None
    layout: str = "single"
    behind: bool = True


def outline(world: MotionWorld, rng: np.random.Generator) -> Outline:
    """Draws who moves how."""
    kind = pick(rng, world.kinds)
    if kind in ("pan", "zoom"):
        camera = Motif(kind=kind, direction=pick(rng, SIDES if kind == "pan" else {"in": 1.0, "out": 1.0}))
        return Outline(kind=kind, motifs=(STILL,), camera=camera)
    if kind == "pair":
        rows = bool(rng.random() < 0.6)
        lanes = (_laned(world, rng, rows, sure=True), _laned(world, rng, rows, sure=False))
        return Outline(
            kind=kind, motifs=lanes if rng.random() < 0.5 else lanes[::-1], layout="rows" if rows else "columns"
        )
    if kind == "cross":
        passing = Motif(kind="move", direction=pick(rng, SIDES), way="across", path="straight")
        return Outline(kind=kind, motifs=(STILL, passing), layout="cross", behind=bool(rng.random() < 0.7))
    return Outline(kind=kind, motifs=(_single(world, rng, kind),))


def _single(world: MotionWorld, rng: np.random.Generator, kind: str) -> Motif:
    if kind == "move":
        direction, way = pick(rng, world.directions), pick(rng, world.ways)
        flat = direction in SIDES
        way = way if flat or direction in ("up", "down") else "inside"
        return Motif(
            kind=kind,
            direction=direction,
            way=way,
            path=pick(rng, world.paths) if flat and way == "inside" else "straight",
        )
    if kind == "bounce" and rng.random() < world.along:
        return Motif(kind=kind, direction=pick(rng, SIDES))
    return Motif(kind=kind)


def _laned(world: MotionWorld, rng: np.random.Generator, rows: bool, sure: bool) -> Motif:
    """What a thing does in its lane; `sure`: it goes somewhere."""
    kind = "move" if sure or rng.random() < 0.5 else str(rng.choice(LANES))
    if kind != "move":
        return Motif(kind=kind)
    direction = pick(rng, SIDES if rows else {"up": 1.0, "down": 1.0})
    return Motif(kind=kind, direction=direction, way="inside", path="straight")


def stands(label: Label, background: str) -> bool:
    """Whether a thing stands on the ground here."""
    return background in GROUND and not label.floats


def allowed(world: MotionWorld, asked: Outline, labels: tuple[Label, ...], background: str) -> bool:
    """Whether these things can do this here, so that it is seen: nothing that stands leaves the ground but by bounces
    and arcs, nothing round is said to spin, and the camera moves only where the backdrop shows it."""
    if asked.camera and background not in world.scenery:
        return False
    if asked.layout in ("rows", "columns") and background in GROUND:
        return False
    if (
        asked.kind == "orbit" and background not in PLAIN
    ):  # where it is all one whether the thing or the camera goes round
        return False
    return all(_fits(world, motif, label, background) for motif, label in zip(asked.motifs, labels, strict=True))


def _fits(world: MotionWorld, motif: Motif, label: Label, background: str) -> bool:
    if motif.kind == "spin" and label.name in world.round:
        return False
    lifts = motif.kind in ("spin", "circle", "sway") or (motif.kind == "move" and motif.direction not in SIDES)
    return not (lifts and stands(label, background))


def held(world: MotionWorld, asked: Outline, labels: tuple[Label, ...], background: str) -> bool:
    """Whether a clip of these things shows a held-out combination of label and background, or of label and motion."""
    names = [motif.name for motif in asked.motifs] + ([asked.camera.name] if asked.camera else [])
    each = [[name] for name in names] if asked.camera is None else [names[1:]]
    return any(
        world.held_out(label.name, other)
        for label, own in zip(labels, each, strict=True)
        for other in (background, *own)
    )
