"""Scenes: one picture and the truth about it, from (world, seed, split, index) alone.

A scene is planned first (what, where, in which colour, on which background), drawn second and described third. The same
four values give the same bytes in any order and in any process, so a data set can be resumed, checked or never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .backgrounds import GROUND, PLAIN, paint
from .captions import captions
from .colours import to_oklab
from .sprites import Sprite, Sprites
from .world import Label, World

Split = Literal["train", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "heldout")
SMALL, BIG = 0.345, 0.72  # longer side over frame: up to SMALL is "small", from BIG on "big"
TRIES = 20_000


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One object of a plan: centre (cx, cy) and longer side `extent` in frame units, angle in degrees."""

    label: Label
    sprite: Sprite
    cx: float
    cy: float
    extent: float
    angle: float
    flipped: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a scene shows. relation: name of where the first object is, seen from the second, or None."""

    kind: str
    style: str
    background: str
    objects: tuple[Placed, ...]
    relation: str | None


def scene(
    world: World, sprites: Sprites, seed: int, index: int, split: Split = "train", size: int = 128
) -> tuple[np.ndarray, dict[str, Any]]:
    """Picture uint8 [size, size, 3] and record {"captions": [3 strings], "truth": {...}} of one scene.

    Raises ValueError for a split that is neither "train" nor "heldout", a negative index, or a held-out scene of a
    world that holds nothing out.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it must be 'train' or 'heldout'")
    if index < 0 or seed < 0:
        raise ValueError(f"seed {seed} and index {index} must not be negative")
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    planned = plan(world, sprites, rng, split)
    picture, boxes = draw(planned, sprites, rng, size)
    truth = describe(planned, boxes, size)
    return picture, {"captions": captions(world, truth, rng), "truth": truth}


def plan(world: World, sprites: Sprites, rng: np.random.Generator, split: Split) -> Plan:
    """Draws what a scene shows: combinations held out only when split is "heldout", never when it is "train"."""
    if split == "heldout" and not world.heldout:
        raise ValueError(f"world {world.name!r} holds nothing out, so it has no held-out scenes")
    for _ in range(TRIES):
        kind = picked(rng, list(world.scenes), list(world.scenes.values()))
        style = picked(rng, list(world.styles), [s.weight for s in world.styles.values()])
        background = picked(rng, [b.name for b in world.backgrounds], [b.weight for b in world.backgrounds])
        labels = [world.labels[i] for i in rng.choice(len(world.labels), 2 if kind == "pair" else 1, replace=False)]
        if kind == "count" and labels[0].mass:
            continue
        if holds(world, [label.name for label in labels], background) != (split == "heldout"):
            continue
        chosen = [sprite_of(world, sprites, rng, label, style) for label in labels]
        if all(sprite is not None and stands_out(sprite, background) for sprite in chosen):
            return _arranged(world, rng, kind, style, background, labels, [s for s in chosen if s is not None])
    raise ValueError(
        f"world {world.name!r}: no {split} scene found in {TRIES} tries; its labels, styles or backgrounds are too few"
    )


def holds(world: World, labels: Sequence[str], background: str) -> bool:
    """Whether a scene of these labels on this background shows a held-out combination."""
    pair = len(set(labels)) > 1 and world.held_out(*sorted(set(labels))[:2])
    return pair or any(world.held_out(label, background) for label in labels)


def picked(rng: np.random.Generator, names: Sequence[str], weights: Sequence[float]) -> str:
    total = np.cumsum(weights)
    return names[int(np.searchsorted(total, rng.random() * total[-1], side="right"))]


def sprite_of(world: World, sprites: Sprites, rng: np.random.Generator, label: Label, style: str) -> Sprite | None:
    changed = sprites.changed.get((label.name, style), ())
    if changed and rng.random() < world.recolour:
        return changed[rng.integers(len(changed))]
    return sprites.plain.get((label.name, style))


def stands_out(sprite: Sprite, background: str) -> bool:
    """Whether a drawing can be told from the backdrop: unlike a plain one's colour; a rim or scenery do."""
    if background not in PLAIN or (sprite.style == "sticker" and background != "white"):
        return True
    behind = to_oklab(np.array(PLAIN[background]) / 255)
    return sprite.color != background and float(np.linalg.norm(behind - np.array(sprite.mean))) > 0.14


def _arranged(
    world: World,
    rng: np.random.Generator,
    kind: str,
    style: str,
    background: str,
    labels: Sequence[Label],
    chosen: Sequence[Sprite],
) -> Plan:
    relation = str(world.relations[rng.integers(len(world.relations))]) if kind == "pair" else None
    places = {"single": _single, "pair": _pair, "count": _group}[kind](rng, world.variety, relation)
    many = list(zip(labels, chosen, strict=True)) if kind == "pair" else [(labels[0], chosen[0])] * len(places)
    flipped = rng.random() < 0.5
    objects = tuple(
        _placed(rng, label, sprite, place, _swing(world, label, background), _flip(rng, kind, flipped))
        for (label, sprite), place in zip(many, places, strict=True)
    )
    return Plan(kind=kind, style=style, background=background, objects=objects, relation=relation)


Place = tuple[float, float, float]  # centre x, centre y, extent


def _flip(rng: np.random.Generator, kind: str, all_of_them: bool) -> bool:
    """The things of a group look the same way, those of a pair each in its own."""
    return all_of_them if kind == "count" else bool(rng.random() < 0.5)


def _swing(world: World, label: Label, background: str) -> float:
    """Up to how many degrees a thing is turned: less if it stands on the ground."""
    return world.variety * (12 if label.floats or background not in GROUND else 4)


def _drawn(rng: np.random.Generator, low: float, high: float, variety: float) -> float:
    """A uniform number from the middle part of low..high that is `variety` times as wide."""
    middle, half = (low + high) / 2, (high - low) / 2
    return middle + variety * half * float(rng.uniform(-1, 1))


def _placed(
    rng: np.random.Generator, label: Label, sprite: Sprite, place: Place, swing: float, flipped: bool
) -> Placed:
    cx, cy, extent = place
    return Placed(
        label=label,
        sprite=sprite,
        cx=cx,
        cy=cy,
        extent=extent,
        angle=float(rng.uniform(-swing, swing)),
        flipped=bool(flipped and label.flip),
    )


def _single(rng: np.random.Generator, variety: float, relation: str | None) -> list[Place]:
    kind = rng.random()
    low, high = (0.27, 0.34) if kind < 0.1 else (0.5, 0.7) if kind < 0.55 else (0.73, 0.87)
    extent = _drawn(rng, low, high, variety)
    room = (0.97 - extent) / 2
    spread = min(room, 0.12 if extent > SMALL else 0.28)
    return [(0.5 + _drawn(rng, -spread, spread, variety), 0.5 + _drawn(rng, -spread, spread, variety), extent)]


def _pair(rng: np.random.Generator, variety: float, relation: str | None) -> list[Place]:
    """Two places on either side of the middle, the first where the relation says."""
    if relation in ("in front of", "behind"):
        return _overlapping(rng, relation)
    extents = [_drawn(rng, 0.38, 0.465, variety) for _ in range(2)]
    near, far = (middle + _drawn(rng, -0.015, 0.015, variety) for middle in (0.26, 0.74))
    along = [near, far] if relation in ("left of", "above") else [far, near]
    both = 0.5 + _drawn(rng, -0.07, 0.07, variety)
    across = [both + _drawn(rng, -0.03, 0.03, variety) for _ in range(2)]
    spots = [(a, b) if relation in ("left of", "right of") else (b, a) for a, b in zip(along, across, strict=True)]
    return [(x, y, extent) for (x, y), extent in zip(spots, extents, strict=True)]


def _overlapping(rng: np.random.Generator, relation: str) -> list[Place]:
    """The nearer one is lower, smaller and to one side, and covers part of the other."""
    side = float(rng.choice([-1.0, 1.0]))
    near = (0.5 + side * 0.17, 0.68, float(rng.uniform(0.4, 0.46)))
    far = (0.5 - side * 0.1, 0.42, float(rng.uniform(0.58, 0.66)))
    return [near, far] if relation == "in front of" else [far, near]


LAYOUTS = {
    2: (((0.27, 0.5), (0.73, 0.5)), ((0.27, 0.36), (0.73, 0.64)), ((0.27, 0.64), (0.73, 0.36))),
    3: (((0.5, 0.27), (0.27, 0.73), (0.73, 0.73)), ((0.27, 0.27), (0.73, 0.27), (0.5, 0.73))),
    4: (((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),),
}


def _group(rng: np.random.Generator, variety: float, relation: str | None) -> list[Place]:
    count = int(rng.integers(2, 5))
    layout = LAYOUTS[count][rng.integers(len(LAYOUTS[count]))]
    extent = _drawn(rng, *((0.40, 0.46) if count == 2 else (0.37, 0.43)), variety)
    moves = [[_drawn(rng, -0.02, 0.02, variety) for _ in range(2)] for _ in range(count)]
    return [(x + dx, y + dy, extent) for (x, y), (dx, dy) in zip(layout, moves, strict=True)]


Box = tuple[int, int, int, int]


def draw(planned: Plan, sprites: Sprites, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[Box]]:
    """The picture uint8 [size, size, 3] of a plan and the pixel box (x0, y0, x1, y1) of each object."""
    from PIL import Image

    canvas = Image.fromarray(paint(planned.background, rng, size))
    boxes: list[Box] = [(0, 0, 0, 0)] * len(planned.objects)
    for i in sorted(range(len(planned.objects)), key=lambda i: planned.objects[i].cy):
        cut = _turned(planned.objects[i], sprites, size)
        left, top = _corner(planned, planned.objects[i], cut.size, size)
        _shade(canvas, planned, planned.objects[i], cut, left, top)
        canvas.paste(cut, (left, top), cut)
        boxes[i] = (left, top, left + cut.width, top + cut.height)
    return np.asarray(canvas), boxes


def _turned(placed: Placed, sprites: Sprites, size: int) -> Any:
    """The sprite flipped, turned, trimmed, and scaled so that its longer side is extent * size pixels."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(sprites.cut(placed.sprite)))
    if placed.flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if abs(placed.angle) > 1.5:
        image = image.rotate(placed.angle, Image.Resampling.BICUBIC, expand=True)
        image = image.crop(image.getchannel("A").point(_solid).getbbox())
    scale = placed.extent * size / max(image.size)
    return image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BICUBIC
    )


_solid = [0] * 25 + [255] * 231


def _corner(planned: Plan, placed: Placed, cut: tuple[int, int], size: int) -> tuple[int, int]:
    """Top left pixel of an object; a single one stands on the ground where there is ground."""
    width, height = cut
    middle = placed.cy * size
    if planned.kind == "single" and planned.background in GROUND and not placed.label.floats:
        middle = min(0.93 * size - height / 2, max(middle, 0.84 * size - height / 2))
    left, top = round(placed.cx * size - width / 2), round(middle - height / 2)
    return min(max(left, 1), max(size - 1 - width, 0)), min(max(top, 1), max(size - 1 - height, 0))


def _shade(canvas: Any, planned: Plan, placed: Placed, cut: Any, left: int, top: int) -> None:
    """A soft shadow: on the ground under what stands, behind what hangs before a plain backdrop, else none."""
    from PIL import Image, ImageDraw, ImageFilter

    size = canvas.width
    blur = ImageFilter.BoxBlur(max(1, size / 50))
    if planned.background in GROUND and not placed.label.floats and top + cut.height > 0.55 * size:
        wide, high = round(cut.width * 0.84), max(3, round(size * 0.045))
        pad = max(2, size // 25)
        mask = Image.new("L", (wide + 2 * pad, high + 2 * pad))
        ImageDraw.Draw(mask).ellipse((pad, pad, pad + wide, pad + high), fill=95)
        corner = (left + (cut.width - mask.width) // 2, top + cut.height - round(high * 0.6) - pad)
    elif planned.background in PLAIN or planned.background == "table":
        pad = max(2, size // 20)
        mask = Image.new("L", (cut.width + 2 * pad, cut.height + 2 * pad))
        mask.paste(cut.getchannel("A").point([round(a * 0.3) for a in range(256)]), (pad, pad))
        corner = (left - pad + round(size * 0.012), top - pad + round(size * 0.024))
    else:
        return
    canvas.paste((0, 0, 0), (*corner, corner[0] + mask.width, corner[1] + mask.height), mask.filter(blur))


def describe(planned: Plan, boxes: Sequence[Box], size: int) -> dict[str, Any]:
    """The truth about a scene, as it is stored; boxes in frame units."""
    return {
        "background": planned.background,
        "style": planned.style,
        "count": len(planned.objects),
        "objects": [
            {
                "label": placed.label.name,
                "color": placed.sprite.color,
                "recoloured": placed.sprite.changed,
                "size": size_name(placed.extent),
                "box": [round(side / size, 4) for side in box],
                "sprite": placed.sprite.key,
            }
            for placed, box in zip(planned.objects, boxes, strict=True)
        ],
        "relation": None if planned.relation is None else {"subject": 0, "object": 1, "name": planned.relation},
    }


def size_name(extent: float) -> str:
    """small, medium or big, from the longer side over the frame."""
    return "small" if extent <= SMALL else "big" if extent >= BIG else "medium"
