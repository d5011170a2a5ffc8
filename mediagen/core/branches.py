"""Many branches, few calls: those of one network with conditions of one form run as one batch. Their answers are x0, or
the network's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mediagen.core import predict
from mediagen.core.denoiser import Bound, Cond, Denoise, Denoiser, fit
from mediagen.core.times import Pinned, stacked


def key(branch: Denoise) -> Any:
    """What tells branches apart: the bound denoiser's key, or the callable itself."""
    return branch.key if isinstance(branch, Bound) else id(branch)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Branches that run in one call, and their conditions one after the other."""

    branches: list[Denoise]
    denoiser: Denoiser | None = None
    cond: Cond = field(default_factory=dict)

    def __call__(self, x: Tensor, t: Any) -> Sequence[Tensor]:
        """The x0 of each branch."""
        if self.denoiser is None:
            return [branch(x, t) for branch in self.branches]
        n = len(self.branches)
        return self.denoiser.forward(torch.cat([x] * n), stacked([t] * n, len(x)), self.cond).chunk(n)

    def output(self, x: Tensor, t: Any) -> Sequence[Tensor]:
        """What the network says to each branch, which are bound denoisers."""
        if self.denoiser is None:
            return [bound(branch).output(x, t) for branch in self.branches]
        n = len(self.branches)
        return self.denoiser.output(torch.cat([x] * n), stacked([t] * n, len(x)), self.cond).chunk(n)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """The output space of one denoiser at one place: what is said there of (x, t), and the ways to x0 and back."""

    denoiser: Denoiser
    x: Tensor
    t: Any
    level: tuple[Any, Any]

    def of(self, group: Stack) -> Sequence[Tensor]:
        """What each branch says; of another network's, or of one whose time is 0 at places, what would stand there for
        its x0."""
        first = group.branches[0]
        if isinstance(first, Bound) and first.denoiser is self.denoiser and not isinstance(self.level[1], Tensor):
            return [self._free(y) for y in group.output(self.x, self.t)]
        return [self.said(x0) for x0 in group(self.x, self.t)]

    def said(self, x0: Tensor) -> Tensor:
        """The output that stands for an x0."""
        return self._said(x0, self.x)

    def difference(self, x0: Tensor) -> Tensor:
        """The difference of outputs that stands for one of x0."""
        return self._said(x0, torch.zeros_like(x0))

    def x0(self, y: Tensor) -> Tensor:
        """The x0 that an output stands for."""
        return self.denoiser.clean(y, self.x, self.t, self.level)

    def _said(self, x0: Tensor, x: Tensor) -> Tensor:
        return self._free(predict.to_output(x0, x, *self.level, self.denoiser.row).to(x.dtype))

    def _free(self, y: Tensor) -> Tensor:
        """An output without what it says of clean places, where there is nothing to say."""
        return self.t.put(0.0, y) if isinstance(self.t, Pinned) else y


def stack(branches: Sequence[Denoise], batch: int, together: bool) -> list[Stack]:
    """Group the branches for x of `batch` rows; if not `together`, and for other callables, each alone."""
    groups: dict[Any, list[Denoise]] = {}
    for branch in branches:
        shared = (id(branch.denoiser), _form(branch.cond)) if together and isinstance(branch, Bound) else id(branch)
        groups.setdefault(shared, []).append(branch)
    return [_joined(group, batch) if len(group) > 1 else Stack(branches=group) for group in groups.values()]


def _joined(group: list[Denoise], batch: int) -> Stack:
    conds = [fit(bound(branch).cond, batch) for branch in group]
    first = conds[0]
    cond = {k: torch.cat([c[k] for c in conds]) if _rows(first[k]) else first[k] for k in first}
    return Stack(branches=group, denoiser=bound(group[0]).denoiser, cond=cond)


def _form(cond: Cond) -> frozenset[Any]:
    """What two conditions must share to be stacked: names, shapes beside the batch, and equal entries of other
    kinds.
    """
    return frozenset((k, (v.shape[1:], v.dtype) if _rows(v) else _key(v)) for k, v in cond.items())


def _rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _key(value: Any) -> Any:
    return value if isinstance(value, int | float | str | tuple | None) else id(value)


def bound(branch: Any) -> Bound:
    """The branch, if it is a bound denoiser; else a ValueError."""
    if not isinstance(branch, Bound):
        raise ValueError(f"{branch} is not a bound denoiser")
    return branch
