"""A run of a control branch's recipe (ControlNet, arXiv:2302.05543): a trained model learns to be led by a hint,
such as edges, which is made of each example as it is seen.

The denoiser stays as it is; what is learned is a folder that `control=` takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import config
from ..autoencoders.base import LatentSpec, on_grid
from ..backbones.control import FILE, Control, copied
from ..backbones.dit import DiT
from ..conditioners import hints
from ..core.denoiser import Denoiser
from . import frozen, weights
from .ema import EMA
from .frozen import Frozen, FrozenRecipe
from .journal import Journal
from .medium import Medium
from .trainer import Progress, train


@dataclass(frozen=True, kw_only=True)
class ControlRecipe(FrozenRecipe):
    """Of a model of pictures or clips. hint: what is made of each picture or frame, a name of `conditioners.hints`;
    depth: blocks that are copied, None for half of them."""

    kind: str = "control"
    hint: str = "canny"
    depth: int | None = None

    def __post_init__(self) -> None:
        hints.find(self.hint)


KINDS: dict[str, type] = {"control": ControlRecipe}


def run(recipe: ControlRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/control.safetensors` (averaged weights) at each checkpoint; resumes what is there."""
    there = frozen.opened(recipe)
    check(recipe, there)
    net, spec = there.model.net, there.spec
    channels = spec.media_channels * torch.Size(spec.stride).numel()
    depth = -(-net.config.depth // 2) if recipe.depth is None else recipe.depth
    branch = copied(net, channels, depth).to(there.here.device)
    seen = lambda media: Hinted(medium=media, hint=hints.find(recipe.hint), spec=spec)  # noqa: E731
    player = there.player("control", branch, led(there.model, branch), seen)

    def keep(step: int, ema: EMA) -> None:
        about = {"kind": "control", "step": step, "model": recipe.model, "hint": recipe.hint}
        sizes = {"network": config.plain(net.config), "channels": channels, "depth": depth}
        weights.save(out / FILE, ema.weights, about | sizes)

    yield from train([player], recipe.schedule, out, keep, Journal(out, recipe.schedule.log_every))


def check(recipe: ControlRecipe, there: Frozen) -> None:
    """ValueError unless the model is one that a control branch can be learned for."""
    if not isinstance(there.model.net, DiT):
        raise ValueError(f"control branches are copies of a transformer's blocks, and {recipe.model} is a U-Net")
    if there.spec.media_channels != 3:
        raise ValueError(f"hints are made of pictures and clips, and {recipe.model} makes {there.recipe.modality}")


def led(model: Denoiser, branch: Control) -> Denoiser:
    """The denoiser with the branch beside it, which is shown the signal "hint"."""

    def hint(x: Tensor, t: Any, told: Tensor, cond: Mapping[str, Any]) -> dict[str, Any]:
        return {"control": branch(model.net, x, told, cond, cond["hint"])}

    return model.hinted(hint)


@dataclass(frozen=True, kw_only=True, eq=False)
class Hinted:
    """A medium that shows, beside its own signals, a hint of each of its examples, on the latent grid."""

    medium: Medium
    hint: hints.Hint
    spec: LatentSpec

    def __getattr__(self, name: str) -> Any:
        return getattr(self.medium, name)

    def signals(self, cuts: Sequence[Any]) -> Mapping[str, Tensor]:
        shown = hints.each(self.hint, self.medium.media(cuts))
        return {**self.medium.signals(cuts), "hint": on_grid(shown, self.spec)}
