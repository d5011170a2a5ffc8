"""Drawing clips: every frame at twice the size, each thing placed between the pixels, then averaged down.

Frames in which nothing has changed are equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..backgrounds import PAINTERS, PLAIN
from .art import Art
from .camera import View, on_screen
from .films import OVER
from .plan import Actor, Plan
from .tracks import Track

PAD = 2  # transparent pixels around a drawing, so that its edge is smooth where it is turned
THICK = 0.045  # of a shadow on the ground, in frame units


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A picture that goes over the screen. pictures: RGBA, one for all frames or one for each; track: of its centre
    and its width."""

    pictures: tuple[Image.Image, ...]
    track: Track

    def picture(self, frame: int) -> Image.Image:
        return self.pictures[frame % len(self.pictures)]


def draw(plan: Plan, art: Art, rng: np.random.Generator, size: int) -> np.ndarray:
    """The frames of a clip, uint8 [F, size, size, 3]."""
    side = OVER * size
    backdrop = _backdrop(plan, rng, side)
    layers = [layer for i in plan.depth for layer in _layers(plan, plan.actors[i], art, side)]
    frames: list[np.ndarray] = []
    before = None
    for number in range(len(plan.view.x)):
        now = _state(plan.view, layers, number)
        if now != before:
            canvas = _seen(backdrop, plan.view, number, side)
            for layer in layers:
                _place(canvas, layer.picture(number), layer.track, number)
            picture = np.asarray(canvas.reduce(OVER))
        frames.append(picture)
        before = now
    return np.stack(frames)


def _state(view: View, layers: list[Layer], frame: int) -> tuple[Any, ...]:
    """All that a frame is made of; equal for equal frames."""
    camera = (view.x[frame], view.y[frame], view.zoom[frame])
    return camera, *[
        (id(layer.picture(frame)), *[float(values[frame]) for values in vars(layer.track).values()]) for layer in layers
    ]


def _backdrop(plan: Plan, rng: np.random.Generator, side: int) -> Image.Image:
    """The painted background, as large as the camera needs it."""
    zoom = float(plan.view.zoom.max())
    painted = round(side * (1 + 2 * plan.view.reach) * (1 + zoom) / 2)
    picture = np.clip(PAINTERS[plan.background](rng, painted), 0, 1)
    return Image.fromarray(np.round(picture * 255).astype(np.uint8))


def _seen(backdrop: Image.Image, view: View, frame: int, side: int) -> Image.Image:
    """What the camera sees of the backdrop."""
    if backdrop.width == side:
        return backdrop.copy()
    pixels = backdrop.width / (1 + 2 * view.reach)  # of the backdrop on one side of the frame
    scale = pixels / (side * view.zoom[frame])
    left, top = ((centre[frame] - 0.5 / view.zoom[frame] + view.reach) * pixels for centre in (view.x, view.y))
    return backdrop.transform(
        (side, side), Image.Transform.AFFINE, (scale, 0, left, 0, scale, top), Image.Resampling.BICUBIC
    )


def _layers(plan: Plan, actor: Actor, art: Art, side: int) -> list[Layer]:
    """The shadow of an actor, if it has one, and the actor."""
    track = plan.screen(actor)
    longest = max(1, round(float(track.size.max()) * side))
    count = len(track.x) if actor.alive else 1
    shown = [art.cut(actor.sprite, actor.first + i * actor.stride) for i in range(count)]
    cuts = [_scaled(cut, actor.flipped, longest) for cut in shown]
    turned = replace(track, angle=track.angle + actor.tilt)
    thing = _layer([_padded(cut, PAD) for cut in cuts], turned, cuts[0])
    if actor.body.floor is not None:
        return [_on_ground(plan, actor, side), thing]
    if plan.background in PLAIN or plan.background == "table":
        return [_behind(plan, turned, cuts, side), thing]
    return [thing]


def _layer(pictures: list[Image.Image], track: Track, cut: Image.Image) -> Layer:
    """A layer of pictures that are padded around cuts whose longer side is the track's size."""
    return Layer(pictures=tuple(pictures), track=replace(track, size=track.size * pictures[0].width / max(cut.size)))


def _scaled(cut: np.ndarray, flipped: bool, longest: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(cut))
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else image
    scale = longest / max(image.size)
    size = tuple(max(1, round(edge * scale)) for edge in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


def _padded(cut: Image.Image, by: int) -> Image.Image:
    """With transparent pixels all around, so many that it can be halved three times."""
    wide, high = ((edge + 2 * by + 7) // 8 * 8 for edge in cut.size)
    image = Image.new("RGBA", (wide, high))
    image.paste(cut, ((wide - cut.width) // 2, (high - cut.height) // 2))
    return image


def _on_ground(plan: Plan, actor: Actor, side: int) -> Layer:
    """A soft dark ellipse where something stands, or under what has left the ground: then smaller and fainter."""
    body, track = actor.body, actor.track
    assert body.floor is not None
    lifted = np.clip((body.floor - track.y - body.high / body.extent * track.size / 2) / 0.4, 0, 1)
    longest = float(plan.screen(actor).size.max()) / body.extent  # how much larger than at rest it is ever seen
    wide = max(3, round(0.84 * body.wide * longest * side))
    high, pad = max(3, round(THICK * longest * side)), max(2, side // 25)
    mask = Image.new("L", (wide + 2 * pad, high + 2 * pad))
    ImageDraw.Draw(mask).ellipse((pad, pad, pad + wide, pad + high), fill=95)
    width = track.size / body.extent * 0.84 * body.wide * (1 - 0.3 * lifted) * mask.width / wide
    ground = Track(
        x=track.x,
        y=np.full_like(track.y, body.floor - THICK / 10),
        size=width,
        angle=np.zeros_like(track.x),
        seen=track.seen * (1 - 0.6 * lifted),
    )
    return Layer(pictures=(_dark(mask, side),), track=on_screen(plan.view, ground))


def _behind(plan: Plan, track: Track, cuts: list[Image.Image], side: int) -> Layer:
    """The faint shadow that a thing throws on a plain backdrop behind it, a little lower and to the right."""
    pad = max(2, side // 20)
    faint = [_padded(cut, pad).getchannel("A").point([round(a * 0.3) for a in range(256)]) for cut in cuts]
    zoom = plan.view.zoom
    moved = replace(track, x=track.x + 0.012 * zoom, y=track.y + 0.024 * zoom)
    return _layer([_dark(mask, side) for mask in faint], moved, cuts[0])


def _dark(mask: Image.Image, side: int) -> Image.Image:
    """Black, as visible as a mask says after a blur."""
    soft = mask.filter(ImageFilter.BoxBlur(max(1, side / 50)))
    return Image.merge("RGBA", [*(Image.new("L", mask.size) for _ in range(3)), soft])


def _place(canvas: Image.Image, picture: Image.Image, track: Track, frame: int) -> None:
    """Pastes a picture with its centre at a point between the pixels, scaled and turned."""
    seen = float(track.seen[frame])
    scale = float(track.size[frame]) * canvas.width / picture.width
    if seen <= 0 or scale <= 0.01:
        return
    while scale < 0.6 and min(picture.size) > 4:  # a resampling filter of fixed width must not skip pixels
        picture, scale = picture.reduce(2), scale * 2
    turn = np.radians(float(track.angle[frame]))
    c, s = float(np.cos(turn)), float(np.sin(turn))
    cx, cy = float(track.x[frame]) * canvas.width, float(track.y[frame]) * canvas.width
    half = scale * (abs(c) * picture.width + abs(s) * picture.height) / 2 + 1
    tall = scale * (abs(s) * picture.width + abs(c) * picture.height) / 2 + 1
    left, top = int(np.floor(cx - half)), int(np.floor(cy - tall))
    size = (int(np.ceil(cx + half)) - left, int(np.ceil(cy + tall)) - top)
    a, b = c / scale, -s / scale  # screen to picture: the inverse turn and scale about the centre
    inverse = (
        a, b, picture.width / 2 + a * (left - cx) + b * (top - cy),
        -b, a, picture.height / 2 - b * (left - cx) + a * (top - cy),
    )  # fmt: skip
    cut = picture.transform(size, Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC)
    mask = cut.getchannel("A")
    canvas.paste(cut, (left, top), mask if seen >= 1 else mask.point([round(a * seen) for a in range(256)]))
