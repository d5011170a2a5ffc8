"""One clip, whole: its sound, its stems, the truth about it and captions, from (world, seed, split, index) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .captions import captions, stem_captions
from .compose import is_effect, piece
from .describe import describe, describe_sounds
from .outline import Split, stream
from .render import Rendered, Soundfont, render
from .sounds import render_sounds, sounds
from .stored import MIX
from .world import GroovesWorld

TOGETHER = ("band", "duo", "backing", "rhythm")  # arrangements whose stems are worth keeping


@dataclass(frozen=True, kw_only=True)
class Clip:
    """rendered: mix and stems, float32 [frames, 2] at 44.1 kHz. captions: of "mix", and of each stem to be kept."""

    rendered: Rendered
    truth: dict[str, Any]
    captions: dict[str, list[str]]


def clip(world: GroovesWorld, font: Soundfont, seed: int, index: int, split: Split = "train") -> Clip:
    """A piece of music or a sound effect. ValueError for an unknown split or a negative number."""
    if is_effect(world, seed, index, split):
        return _effect(world, font, seed, index, split)
    plan = piece(world, seed, index, split)
    rendered = render(plan, world, font)
    truth = describe(plan, rendered.levels)
    roles = [part["role"] for part in truth["parts"]]
    keeps = truth["arrangement"] in TOGETHER and len(roles) > 1 and kept(world, seed, index, split)
    return _told(world, rendered, truth, roles if keeps else [], (seed, index, split))


def _effect(world: GroovesWorld, font: Soundfont, seed: int, index: int, split: Split) -> Clip:
    plan = sounds(world, seed, index, split)
    rendered = render_sounds(plan, world, font, stream(seed, split, index, "sound"))
    stems = list(plan.kinds) if len(plan.kinds) > 1 and kept(world, seed, index, split) else []
    return _told(world, rendered, describe_sounds(plan), stems, (seed, index, split))


def _told(
    world: GroovesWorld, rendered: Rendered, truth: dict[str, Any], stems: list[str], key: tuple[int, int, Split]
) -> Clip:
    seed, index, split = key
    rng = stream(seed, split, index, "captions")
    said = {MIX: captions(world, truth, rng)}
    said |= {name: stem_captions(world, truth, name, rng) for name in stems}
    return Clip(rendered=rendered, truth=truth, captions=said)


def kept(world: GroovesWorld, seed: int, index: int, split: Split) -> bool:
    """Whether the stems of this index are stored beside the mix."""
    return bool(stream(seed, split, index, "stems").random() < world.stems)
