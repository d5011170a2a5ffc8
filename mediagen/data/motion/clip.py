"""One clip, whole: its frames, the truth about it and captions, from (world, seed, split, index) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .art import Art
from .captions import captions
from .describe import describe
from .draw import draw
from .plan import plan
from .world import MotionWorld, Split, stream


@dataclass(frozen=True, kw_only=True)
class Clip:
    """frames: uint8 [F, H, W, 3]; captions: a full, a middle and a short one; truth: docs/motion.md."""

    frames: np.ndarray
    captions: list[str]
    truth: dict[str, Any]


def clip(world: MotionWorld, art: Art, seed: int, index: int, split: Split = "train") -> Clip:
    """A clip. ValueError for an unknown split, a negative number, or a held-out clip where nothing is held out."""
    planned = plan(world, art, stream(seed, split, index, "plan"), split)
    truth = describe(planned, world)
    frames = draw(planned, art, stream(seed, split, index, "backdrop"), world.size)
    return Clip(frames=frames, truth=truth, captions=captions(world, truth, stream(seed, split, index, "captions")))
