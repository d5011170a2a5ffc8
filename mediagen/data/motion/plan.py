"""Plans: which things do what, where, and how the camera looks at it, from random numbers alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..scenes import sprite_of, stands_out
from ..sprites import Sprite
from ..world import Label
from .art import Art
from .camera import View, on_screen, panning, resting, zooming
from .kinds import Motif, Outline, allowed, held, outline, stands
from .tracks import MOVES, Asked, Body, Moved, Told, Track
from .world import VECTORS, MotionWorld, Split, pick

TRIES = 20_000


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A thing of a clip. alive: its drawing is a film, of which every `stride`th frame is shown from `first` on;
    flipped: drawn mirrored; tilt: how far the drawing is turned all the time, in degrees, so that it points along its
    way; body: at rest; told, track: what it does, before the camera."""

    label: Label
    sprite: Sprite
    alive: bool
    first: int
    stride: int
    flipped: bool
    tilt: float
    body: Body
    told: Told
    track: Track


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A clip, ready to be drawn. actors: in the order in which a caption tells them; depth: from the farthest on."""

    outline: Outline
    style: str
    background: str
    actors: tuple[Actor, ...]
    depth: tuple[int, ...]
    view: View

    def screen(self, actor: Actor) -> Track:
        """Where the actor is on the screen."""
        return on_screen(self.view, actor.track)


def plan(world: MotionWorld, art: Art, rng: np.random.Generator, split: Split) -> Plan:
    """Draws a clip of held-out combinations if split is "heldout", of none if it is "train"."""
    if split == "heldout" and not world.heldout:
        raise ValueError(f"motion world {world.name!r} holds nothing out, so it has no held-out clips")
    asked = outline(world, rng)
    for _ in range(TRIES):
        style = "3d" if asked.kind in ("alive", "orbit") else pick(rng, world.styles)
        background = pick(rng, world.backdrops)
        pool = world.modelled if asked.kind == "orbit" else world.scenes.labels
        labels = tuple(pool[int(i)] for i in rng.choice(len(pool), len(asked.motifs), replace=False))
        if not allowed(world, asked, labels, background):
            continue
        if held(world, asked, labels, background) != (split == "heldout"):
            continue
        cast = [_cast(world, art, rng, asked, label, style) for label in labels]
        shown = [(sprite, alive) for sprite, alive in cast if sprite is not None and stands_out(sprite, background)]
        if len(shown) == len(labels):
            return _staged(world, art, rng, asked, (style, background), list(zip(labels, shown, strict=True)))
    raise ValueError(
        f"motion world {world.name!r}: no {split} clip of {asked.kind!r} found in {TRIES} tries; "
        "its labels, styles or backgrounds are too few"
    )


Cast = tuple[Sprite, bool]  # the drawing and whether it is animated


def _cast(
    world: MotionWorld, art: Art, rng: np.random.Generator, asked: Outline, label: Label, style: str
) -> tuple[Sprite | None, bool]:
    if asked.kind == "orbit":
        return art.models.get(label.name), True
    animated = art.animated.get(label.name) if style == "3d" else None
    if asked.kind == "alive":
        return animated, True
    sprite = sprite_of(world.scenes, art.sprites, rng, label, style)
    lively = animated is not None and asked.kind in ("move", "still", "pan", "zoom", "pair", "cross")
    if lively and rng.random() < world.animated and (sprite is None or not sprite.changed):
        return animated, True
    return sprite, False


def _staged(
    world: MotionWorld,
    art: Art,
    rng: np.random.Generator,
    asked: Outline,
    place: tuple[str, str],
    cast: list[tuple[Label, Cast]],
) -> Plan:
    style, background = place
    floor = 0.84 + 0.09 * float(rng.random()) * world.scenes.variety
    actors = []
    for number, (label, chosen) in enumerate(cast):
        lowest = floor if asked.layout != "cross" else _depth(asked, number)
        stood = lowest if stands(label, background) else None
        actors.append(_actor(world, art, rng, asked, number, (label, *chosen), stood))
    depth = (1, 0) if asked.layout == "cross" and asked.behind else tuple(range(len(actors)))
    view = _view(world, rng, asked, actors[0])
    return Plan(outline=asked, style=style, background=background, actors=tuple(actors), depth=depth, view=view)


def _actor(
    world: MotionWorld,
    art: Art,
    rng: np.random.Generator,
    asked: Outline,
    number: int,
    cast: tuple[Label, Sprite, bool],
    floor: float | None,
) -> Actor:
    label, sprite, alive = cast
    flipped, tilt = _posed(world, rng, label, asked.motifs[number])
    body = _body(sprite, _extent(world, rng, asked, number), tilt, world.manner(label.name).rolls)
    body = replace(body, floor=floor)
    moved = _moved(world, rng, asked, number, body, label)
    told, stride = moved.told, 1
    if asked.kind == "orbit":
        stride = int(rng.choice([-2, -1, 1, 2]))
        told = replace(told, speed=abs(stride) * world.rate / art.length(sprite))
    return Actor(
        label=label,
        sprite=sprite,
        alive=alive,
        first=int(rng.integers(art.length(sprite))) if alive else 0,
        stride=stride,
        flipped=flipped,
        tilt=tilt,
        body=body,
        told=told,
        track=moved.track,
    )


def _posed(world: MotionWorld, rng: np.random.Generator, label: Label, motif: Motif) -> tuple[bool, float]:
    """Whether a drawing is mirrored and how far it is turned, so that it looks, or points, where it goes."""
    faces, heading = world.faced(label.name), world.headings.get(label.name)
    mirrored = bool(rng.random() < 0.5) and label.flip
    if motif.kind not in ("move", "bounce") or motif.direction is None:
        return mirrored, 0.0
    x, y = VECTORS[motif.direction]
    if heading is not None and motif.kind == "move":
        mirrored = x < 0 if x else mirrored
        pointed = 180 - heading if mirrored else heading
        return mirrored, (float(np.degrees(np.arctan2(-y, x))) - pointed + 180) % 360 - 180
    if faces and x and label.flip:
        return (x > 0) == (faces == "left"), 0.0
    return mirrored, 0.0


def _extent(world: MotionWorld, rng: np.random.Generator, asked: Outline, number: int) -> float:
    low, high = world.extent
    match asked.kind:
        case "pair":
            low, high = 0.29, 0.36
        case "cross":
            low, high = (0.44, 0.5) if number == 0 else (0.27, 0.32)
        case "zoom":
            low, high = 0.3, 0.38
        case "circle":
            low, high = min(low, 0.34), min(high, 0.4)
        case "orbit":
            low, high = 0.5, 0.66
        case "pan":
            low, high = min(low, 0.34), min(high, 0.44)
    return float(rng.uniform(low, high))


def _body(sprite: Sprite, extent: float, tilt: float, rolls: bool) -> Body:
    """The sides of a drawing of this extent, turned by its tilt; of one that rolls, the circle around it."""
    longer = max(sprite.width, sprite.height)
    wide, high = extent * sprite.width / longer, extent * sprite.height / longer
    if rolls:
        return Body(extent=extent, wide=extent, high=extent)
    c, s = abs(np.cos(np.radians(tilt))), abs(np.sin(np.radians(tilt)))
    return Body(extent=extent, wide=float(wide * c + high * s), high=float(wide * s + high * c))


def _depth(asked: Outline, number: int) -> float:
    """Where something stands that is passed, or passes: what is nearer stands lower."""
    return 0.92 if (number == 0) == asked.behind else 0.84


HOMES = {"rows": ((None, 0.27), (None, 0.73)), "columns": ((0.27, None), (0.73, None))}


def _moved(
    world: MotionWorld, rng: np.random.Generator, asked: Outline, number: int, body: Body, label: Label
) -> Moved:
    motif, manner = asked.motifs[number], world.manner(label.name)
    home = HOMES[asked.layout][number] if asked.layout in HOMES else (None, None)
    if asked.layout == "cross":
        home = (0.5, 0.5)
    kind = "still" if motif.kind in ("alive", "orbit") else motif.kind
    told = Told(kind=motif.kind, direction=motif.direction, way=motif.way, path=motif.path)
    question = Asked(world=world, rng=rng, body=body, told=told, rolls=manner.rolls, step=manner.step, home=home)
    return MOVES[kind](question)


def _view(world: MotionWorld, rng: np.random.Generator, asked: Outline, actor: Actor) -> View:
    if asked.camera is None:
        return resting(world)
    if asked.camera.kind == "pan":
        return panning(world, rng, str(asked.camera.direction))
    y = float(actor.track.y[0]) if actor.body.floor is None else actor.body.floor
    centre = float(actor.track.x[0]), y
    return zooming(world, rng, str(asked.camera.direction), centre)
