"""Training a denoiser: the core's one loss on latents (or pixels), captions dropped now and then for guidance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioners.scalar import Scalar
from ..core import denoiser as core
from ..core import timing
from .trainer import Player

Cond = Mapping[str, Any]
Numbers = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """x0: clean states [B, C, *grid]; captions: B of them; numbers: name -> B of them, for the scalars (None: untold);
    signals: what the network is shown beside them, name -> [B, its channels, *grid], zeros where there is nothing to
    see; known: bool [B, 1, *grid], the places that it is shown clean and need not make, None for none."""

    x0: Tensor
    captions: Sequence[str]
    numbers: Numbers
    signals: Mapping[str, Tensor] = field(default_factory=dict)
    known: Tensor | None = None


class Text(Protocol):
    """What the loss needs of a text encoder."""

    def __call__(self, prompts: Sequence[str]) -> Cond: ...

    def null(self, n: int, length: int | None = None) -> Cond: ...


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Text and numbers as one condition. Its null is the text's, and zeros for the codes of the numbers."""

    text: Text
    scalars: tuple[Scalar, ...] = ()

    def __call__(self, captions: Sequence[str], numbers: Numbers) -> Cond:
        """ValueError for a number outside its scalar's range. None: that number is not told."""
        return self._joined(self.text(captions), [_told(scalar, numbers[scalar.name]) for scalar in self.scalars])

    def null(self, n: int, length: int | None = None) -> Cond:
        """The condition of n empty prompts, their text padded to `length` tokens."""
        return self._joined(self.text.null(n, length), [scalar.null(n) for scalar in self.scalars])

    def _joined(self, text: Cond, codes: Sequence[Cond]) -> Cond:
        device = text["text"].device
        return {**text, **{name: code.to(device) for part in codes for name, code in part.items()}}


def _told(scalar: Scalar, values: Sequence[float | None]) -> Cond:
    """The codes of numbers, zeros for None."""
    code = scalar([scalar.low if value is None else value for value in values])
    told = torch.tensor([value is not None for value in values])
    return {name: rows * told[:, None] for name, rows in code.items()}


def player(
    model: core.Denoiser,
    condition: Conditioning,
    batch: Callable[[int], Batch],
    density: timing.Timing,
    dropout: float,
    seed: int,
) -> Player:
    """The denoiser as a player. `dropout` of the conditions, text and numbers, become the null condition
    (classifier-free guidance, arXiv:2207.12598). All draws are functions of (seed, step)."""

    def loss(step: int) -> dict[str, Tensor]:
        draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
        given = batch(step)
        x0 = given.x0.to(next(model.parameters()).device)
        eps = torch.randn(x0.shape, generator=draw).to(x0)
        u = stratified(len(x0), draw)
        t = timing.draw(density, u, model.path).float().to(x0.device)
        dropped = torch.rand(len(x0), generator=draw) < dropout
        cond = drop(rounded(condition(given.captions, given.numbers)), condition.null, dropped)
        # signals are never dropped with the text: guidance is about the text alone
        cond |= {name: signal.to(x0) for name, signal in given.signals.items()}
        each, where = shown_clean(t, given.known, x0)
        losses = core.loss(model, x0, eps, each, cond, where)
        return {
            "loss": losses.mean(),
            "clean": losses[t < 0.3].mean().nan_to_num(),
            "noisy": losses[t > 0.7].mean().nan_to_num(),
        }

    return Player(name="denoiser", module=model, loss=loss)


def shown_clean(t: Tensor, known: Tensor | None, x0: Tensor) -> tuple[Tensor, Tensor | None]:
    """Times [B] -> those of each place [B, 1, *grid], 0 where it is known, and the places that count: the others."""
    if known is None:
        return t, None
    known = known.to(x0.device)
    return torch.where(known, torch.zeros_like(t[0]), t.view(-1, *(1,) * (x0.ndim - 1))), ~known


def stratified(count: int, draw: torch.Generator) -> Tensor:
    """Uniform numbers in (0, 1), one in each of `count` equal parts, shuffled: less variance (arXiv:2107.00630)."""
    places = torch.randperm(count, generator=draw) + torch.rand(count, generator=draw, dtype=torch.float64)
    return (places / count).clamp(1e-6, 1 - 1e-6)


def rounded(cond: Cond, to: int = 8) -> dict[str, Tensor]:
    """Text padded to a multiple of `to` tokens, masked: a compiled network then meets few lengths."""
    missing = -cond["text"].shape[1] % to
    padded = {"text": F.pad(cond["text"], (0, 0, 0, missing)), "text_mask": F.pad(cond["text_mask"], (0, missing))}
    return {**cond, **padded}


def drop(cond: Cond, null_of: Callable[[int, int], Cond], dropped: Tensor) -> dict[str, Tensor]:
    """The condition with the rows where `dropped` is true replaced by the null condition, `null_of(rows, tokens)`."""
    null = null_of(len(dropped), cond["text"].shape[1])

    def mixed(name: str) -> Tensor:
        where = dropped.to(cond[name].device).view(-1, *(1,) * (cond[name].ndim - 1))
        return torch.where(where, null[name], cond[name])

    return {name: mixed(name) for name in cond}


def repeated(kinds: Sequence[str], repeat: Mapping[str, int]) -> np.ndarray:
    """The indices of one epoch: examples of a kind that `repeat` names come that many times. ValueError for a kind that
    is not there, or fewer than one time."""
    if unknown := [k for k, times in repeat.items() if k not in kinds or times < 1]:
        raise ValueError(f"repeat {unknown[0]}: {repeat[unknown[0]]}; kinds are {sorted(set(kinds))}, times 1 or more")
    return np.repeat(np.arange(len(kinds)), [repeat.get(kind, 1) for kind in kinds])


def shuffled(seed: int, step: int, batch: int, count: int) -> np.ndarray:
    """Indices of the batch of `step`: every epoch goes once through a permutation of its own."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs, offsets = places // count, places % count
    orders = {e: np.random.default_rng((seed, int(e))).permutation(count) for e in np.unique(epochs)}
    return np.array([orders[e][o] for e, o in zip(epochs, offsets, strict=True)])
