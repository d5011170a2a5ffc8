"""Guidance that is no plain sum: what bends the difference of two branches, and what is done to the result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from mediagen.core.path import spread


class Bend(Protocol):
    """Two branches [B, C, *grid] and t -> their difference, bent. `space`: "x0", or "output" for the network's own."""

    @property
    def space(self) -> str: ...

    def __call__(self, toward: Tensor, away: Tensor, t: Any) -> Tensor: ...


class Post(Protocol):
    """The guided result, the positive branch [B, C, *grid] and t -> the result, changed. `space` as in Bend."""

    @property
    def space(self) -> str: ...

    def __call__(self, guided: Tensor, positive: Tensor, t: Any) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """See `guidance.rescale`."""

    amount: float
    space: str = "output"
    parts: Tensor | None = None

    def __call__(self, guided: Tensor, positive: Tensor, t: Any) -> Tensor:
        if self.parts is None:
            factor = torch.lerp(positive.new_ones(()), _std(positive) / _std(guided), self.amount)
            return guided * spread(factor, guided)
        values, n = torch.cat((positive, guided)).flatten(2).mT, len(guided)  # as they mostly lie in memory
        sums = torch.cat((values.sum(2), values.square().sum(2))).double()  # over channels
        means = torch.mm(sums, self.shares)  # over positions: [4 B, parts], the squares' after the values'
        spread_out = torch.addcmul(means[2 * n :], means[: 2 * n], means[: 2 * n], value=-1 / guided.shape[1])
        ratios = (spread_out[:n] / spread_out[n:]).sqrt_()
        factors = torch.addmm(self.rest, ratios, self.places, alpha=self.amount).to(guided.dtype)
        return guided * factors.view(-1, *self.parts.shape[1:])

    @cached_property
    def places(self) -> Tensor:
        """[parts, positions], float64: 1 where a position of the grid, all in a row, is of a part."""
        parts = torch.zeros(1) if self.parts is None else self.parts
        each = [(parts.flatten() == part).double() for part in range(1, int(parts.max()) + 1)]
        return torch.stack(each)

    @cached_property
    def shares(self) -> Tensor:
        """[positions, parts], float64: of a part, what each of its positions is."""
        return self.places.mT / self.places.sum(1)

    @cached_property
    def rest(self) -> Tensor:
        """[positions], float64: what stays of the factor of each position, however its part is spread."""
        return 1 - self.amount * self.places.sum(0)


@dataclass(frozen=True, kw_only=True)
class ZeroInit:
    """See `guidance.zero_init`."""

    above: float
    space: str = "output"

    def __call__(self, guided: Tensor, positive: Tensor, t: Any) -> Tensor:
        return torch.zeros_like(guided) if t > self.above else guided


@dataclass(kw_only=True, eq=False)
class Projected:
    """See `guidance.apg`; it holds the momentum of one walk. each: whether norms are those of each channel alone."""

    momentum: float
    norm: float
    parallel: float
    space: str = "x0"
    each: bool = False
    average: Tensor | None = None
    before: float = math.inf

    def __call__(self, toward: Tensor, away: Tensor, t: Any) -> Tensor:
        bent = self._averaged(toward - away, float(t))
        axes = 1 + self.each
        if self.norm > 0:
            bent = bent * (self.norm * _dot(bent, bent, axes).clamp(min=self.norm**2).rsqrt())
        along = _dot(bent, toward, axes) / _dot(toward, toward, axes).clamp(min=1e-12)
        return torch.addcmul(bent, along, toward, value=self.parallel - 1)

    def _averaged(self, difference: Tensor, t: float) -> Tensor:
        fresh = self.average is None or t > self.before or self.average.shape != difference.shape
        if fresh or self.average is None:
            self.average = difference
        else:
            self.average = torch.add(difference, self.average, alpha=self.momentum)
        self.before = t
        return self.average


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """See `guidance.cfg_zero`."""

    space: str = "output"

    def __call__(self, toward: Tensor, away: Tensor, t: Any) -> Tensor:
        return toward - _dot(toward, away) / _dot(away, away).clamp(min=1e-12) * away


def _dot(a: Tensor, b: Tensor, axes: int = 1) -> Tensor:
    """Per sample [B, 1, ...], or per sample and channel [B, C, 1, ...] where the first two axes are left alone; torch
    sums in pairs, so that long sums stay exact."""
    return (a * b).sum(tuple(range(axes, a.ndim)), keepdim=True)


def _std(a: Tensor) -> Tensor:
    """Per sample [B]."""
    return a.flatten(1).std(1)
