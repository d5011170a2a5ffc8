"""Training a denoiser: the core's one loss on latents (or pixels), captions dropped now and then for guidance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import denoiser as core
from ..core import timing
from .trainer import Player

Batch = tuple[Tensor, Sequence[str]]
Cond = Mapping[str, Any]


class Text(Protocol):
    """What the loss needs of a text encoder."""

    def __call__(self, prompts: Sequence[str]) -> Cond: ...

    def null(self, n: int, length: int) -> Cond: ...


def player(
    model: core.Denoiser, text: Text, batch: Callable[[int], Batch], density: timing.Timing, dropout: float, seed: int
) -> Player:
    """The denoiser as a player. `batch(step)` gives x0 [B, C, *grid] and B captions; `dropout` of them become the null
    condition (classifier-free guidance, arXiv:2207.12598). All draws are functions of (seed, step)."""

    def loss(step: int) -> dict[str, Tensor]:
        draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
        x0, captions = batch(step)
        x0 = x0.to(next(model.parameters()).device)
        eps = torch.randn(x0.shape, generator=draw).to(x0)
        u = stratified(len(x0), draw)
        t = timing.draw(density, u, model.path).float().to(x0.device)
        dropped = torch.rand(len(x0), generator=draw) < dropout
        cond = drop(rounded(text(captions)), text, dropped)
        losses = core.loss(model, x0, eps, t, cond)
        return {
            "loss": losses.mean(),
            "clean": losses[t < 0.3].mean().nan_to_num(),
            "noisy": losses[t > 0.7].mean().nan_to_num(),
        }

    return Player(name="denoiser", module=model, loss=loss)


def stratified(count: int, draw: torch.Generator) -> Tensor:
    """Uniform numbers in (0, 1), one in each of `count` equal parts, shuffled: less variance (arXiv:2107.00630)."""
    places = torch.randperm(count, generator=draw) + torch.rand(count, generator=draw, dtype=torch.float64)
    return (places / count).clamp(1e-6, 1 - 1e-6)


def rounded(cond: Cond, to: int = 8) -> dict[str, Tensor]:
    """Text padded to a multiple of `to` tokens, masked: a compiled network then meets few lengths."""
    missing = -cond["text"].shape[1] % to
    padded = {"text": F.pad(cond["text"], (0, 0, 0, missing)), "text_mask": F.pad(cond["text_mask"], (0, missing))}
    return {**cond, **padded}


def drop(cond: Cond, text: Text, dropped: Tensor) -> dict[str, Tensor]:
    """The condition with the rows where `dropped` is true replaced by the null condition."""
    null = text.null(len(dropped), cond["text"].shape[1])

    def mixed(name: str) -> Tensor:
        where = dropped.to(cond[name].device).view(-1, *(1,) * (cond[name].ndim - 1))
        return torch.where(where, null[name], cond[name])

    return {name: mixed(name) for name in cond}


def shuffled(seed: int, step: int, batch: int, count: int) -> np.ndarray:
    """Indices of the batch of `step`: every epoch goes once through a permutation of its own."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs, offsets = places // count, places % count
    orders = {e: np.random.default_rng((seed, int(e))).permutation(count) for e in np.unique(epochs)}
    return np.array([orders[e][o] for e, o in zip(epochs, offsets, strict=True)])
