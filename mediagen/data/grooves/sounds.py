"""Clips of sound effects: one kind of sound, or two at once, from (world, seed, split, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .effects import BEDS, EFFECTS, STRUCK, Effect
from .outline import TRIES, Split, one, stream
from .render import RATE, Heard, Rendered, Soundfont, fade, mixed
from .world import GroovesWorld


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """The plan of an effects clip: one kind of sound, or two at once."""

    kinds: tuple[str, ...]
    seconds: float


def sounds(world: GroovesWorld, seed: int, index: int, split: Split = "train") -> Sounds:
    """The plan of an effects clip; two together only in "train" when not held out, always held out in "heldout"."""
    rng = stream(seed, split, index, "sounds")
    for _ in range(TRIES):
        first = one(rng, list(EFFECTS))
        second = one(rng, BEDS) if split == "heldout" or rng.random() < 0.35 else None
        held = second is not None and world.held_out(first, second)
        if second == first or held != (split == "heldout"):
            continue
        low, high = world.seconds
        kinds = (first,) if second is None else (first, second)
        return Sounds(kinds=kinds, seconds=round(float(rng.uniform(low, max(low, min(high, 12.0)))), 3))
    raise ValueError(f"world {world.name!r} holds no two effects out, so it has no held-out effects")


def render_sounds(plan: Sounds, world: GroovesWorld, font: Soundfont, rng: np.random.Generator) -> Rendered:
    """An effects clip; its stems are its kinds of sound, a second one 4 LU softer. 2 LU softer than music."""
    frames = round(plan.seconds * RATE)
    start = np.minimum(1, np.arange(frames) / (0.005 * RATE))[:, None]
    stems = {
        kind: (_made(EFFECTS[kind], kind, rng, frames, font) * start * fade(frames)).astype(np.float32)
        for kind in plan.kinds
    }
    levels = dict(zip(plan.kinds, (0.0, -4.0), strict=False))
    return mixed(stems, levels, world.loudness - 2)


def _made(effect: Effect, kind: str, rng: np.random.Generator, frames: int, font: Soundfont) -> np.ndarray:
    if effect.make is not None:
        sound = effect.make(rng, frames)
        return sound if sound.ndim == 2 else np.repeat(sound[:, None], 2, axis=1)
    key = effect.key + int(rng.integers(-4, 5))
    gap = float(rng.uniform(0.6, 1.6)) if kind in STRUCK else frames / RATE
    starts = [round(t * RATE) for t in np.arange(0, frames / RATE, gap)]
    ends = [*starts[1:], frames]
    notes = [Heard(start=a, end=b, key=key, velocity=105) for a, b in zip(starts, ends, strict=True)]
    return font.play(notes, frames, effect.program).astype(np.float64)
