"""Autoregression: what a network says of the next codes, drawn, one position after the other.

Several codebooks describe a position, the later ones what the first ones left over. They are written with a delay, a
column for each: a column holds the first codebook's code of now beside the others' of before (MusicGen, arXiv
2306.05284, figure 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..core import rng
from ..core.rng import Drawn, Keyed

Speaker = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Columns [B, K, n], each once and in order -> logits [B, K, V] of what comes after the last of them, and those of
nothing asked for."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How codes are drawn. temperature: 0 takes the likeliest; top_k: of so many of them, 0 of all; top_p: of as few as
    hold so much of the probability (arXiv 1904.09751)."""

    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:
            raise ValueError(f"temperature must be from 0 to 10, not {self.temperature}")
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, int) or self.top_k < 0:
            raise ValueError(f"top_k must be a whole number, 0 for all, not {self.top_k!r}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How codes [B, K, T] lie in columns [B, K, 1 + T + most delay]: codebook k is `delays[k]` behind the first, and
    `blank` where it has nothing; the first column is blank."""

    delays: tuple[int, ...]
    blank: int

    def columns(self, codes: Tensor, count: int) -> Tensor:
        """Codes that are known, in the columns of `count` positions; -1 where they are still to be drawn."""
        known = codes.shape[2]
        out = codes.new_full((*codes.shape[:2], 1 + count + max(self.delays)), self.blank)
        for number, delay in enumerate(self.delays):
            out[:, number, 1 + delay : 1 + delay + count] = -1
            out[:, number, 1 + delay : 1 + delay + known] = codes[:, number]
        return out

    def codes(self, columns: Tensor) -> Tensor:
        """The inverse: columns -> codes [B, K, T]."""
        count = columns.shape[2] - 1 - max(self.delays)
        each = [columns[:, number, 1 + delay : 1 + delay + count] for number, delay in enumerate(self.delays)]
        return torch.stack(each, 1)


@dataclass(frozen=True, kw_only=True)
class Codes:
    """After `step` of `total` columns. codes [B, K, T], -1 where there is none yet."""

    step: int
    total: int
    codes: Tensor


def generate(
    speaker: Speaker,
    known: Tensor,
    count: int,
    *,
    layout: Layout,
    sampling: Sampling,
    guidance: float,
    draw: Callable[[int, Tensor], Tensor],
) -> Iterator[Codes]:
    """`count` positions of codes, of which the first are known [B, K, P]; a `Codes` after each column.

    guidance: scale, 1 is none. draw: (column, probabilities [B, K, V]) -> codes [B, K], such as `keyed` or `drawn`.
    """
    columns, begin = layout.columns(known, count), known.shape[2] + 1
    told, total = columns[..., :begin], columns.shape[2] - begin
    for column in range(begin, columns.shape[2]):
        said, nothing = speaker(told)
        logits = said if nothing is None else nothing + guidance * (said - nothing)
        now = columns[..., column]
        if bool((now < 0).any()):
            new = draw(column, probabilities(logits.float(), sampling))
            columns[..., column] = torch.where(now < 0, new, now)
        told = columns[..., column : column + 1]
        yield Codes(step=column - begin + 1, total=total, codes=layout.codes(columns))


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits [..., V] -> probabilities, of those that may be drawn."""
    if sampling.temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[..., -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if sampling.top_p < 1:
        rising, order = logits.sort(-1)
        unlikely = rising.softmax(-1).cumsum(-1) <= 1 - sampling.top_p
        unlikely[..., -1] = False
        logits = logits.masked_fill(torch.zeros_like(unlikely).scatter(-1, order, unlikely), float("-inf"))
    return logits.softmax(-1)


def keyed(noise: Keyed) -> Callable[[int, Tensor], Tensor]:
    """Codes by one uniform number each, keyed by seed, sample and column: the same in every batch."""

    def draw(column: int, p: Tensor) -> Tensor:
        key = {"seed": noise.seed, "sample": noise.samples, "step": column, "purpose": "code"}
        u = rng.uniform(p.shape[1:2], **key, device=p.device, dtype=torch.float64)[..., None]
        levels = p.double().cumsum(-1)
        return torch.searchsorted(levels, u * levels[..., -1:], right=True)[..., 0].clamp_max(p.shape[-1] - 1)

    return draw


def drawn(noise: Drawn) -> Callable[[int, Tensor], Tensor]:
    """Codes as transformers draws them, from a generator, draw after draw."""

    def draw(column: int, p: Tensor) -> Tensor:
        rows = rearrange(p, "b k v -> (b k) v").to(noise.generator.device)
        codes: Any = torch.multinomial(rows, 1, generator=noise.generator)[:, 0]
        return rearrange(codes, "(b k) -> b k", b=len(p)).to(p.device)

    return draw


def delays_of(codebooks: int, channels: int) -> Sequence[int]:
    """MusicGen's: one column for each codebook, the same for both channels."""
    return [number // channels for number in range(codebooks)]
