"""The time of a state x [B, C, *grid]: one number; one for each sample [B]; one for each token [B, 1, *grid]; or one
number where some tokens are clean (`Pinned`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mediagen.core.path import spread

Time = Any  # float | Tensor | Pinned


@dataclass(frozen=True, kw_only=True, eq=False)
class Pinned:
    """`t`, but 0 where `clean` is true, bool [B or 1, 1, *grid]: what times for each token most often are. Coefficients
    stay numbers, and what is clean is put in its place, where tensors of them take some twenty kernels a call."""

    t: float
    clean: Tensor
    made: dict[tuple[float, float], Tensor] = field(default_factory=dict, init=False)

    def each(self, value: float, still: float, n: int) -> Tensor:
        """float32 [n, 1, *grid]: `value` at t, `still` at 0. Made once, for all calls of a step."""
        both = (value, still)
        if both not in self.made:
            self.made[both] = torch.where(self.clean, still, value)
        made = self.made[both]
        return made if len(made) == n else made.expand(n, *made.shape[1:])

    def put(self, clean: Any, x: Tensor) -> Tensor:
        """x, but `clean` where nothing is left to do: a tensor like x, or a number."""
        return torch.where(self.clean, clean, x)


def pin(t: Time, clean: Tensor, x: Tensor) -> Time:
    """The time t of a state x, but 0 where `clean` [B or 1, 1, *grid] is true."""
    if isinstance(t, Pinned):
        return Pinned(t=t.t, clean=t.clean | clean)
    if not isinstance(t, Tensor):
        return Pinned(t=t, clean=clean)
    return torch.where(clean, 0.0, spread(t, x)).expand(len(x), *clean.shape[1:])


def per_token(t: Time) -> bool:
    """Whether it differs from token to token."""
    return isinstance(t, Pinned) or (isinstance(t, Tensor) and t.ndim > 1)


def latest(t: Time) -> Any:
    """The time of what is still being made: of times per token the largest, for what is known lies at an earlier one;
    any other time as it is."""
    if isinstance(t, Pinned):
        return t.t
    return float(t.max()) if per_token(t) else t


def moved(t: Time, move: Callable[[Tensor], Tensor]) -> Time:
    """The time of a state whose tokens are moved, cut or extended so."""
    if isinstance(t, Pinned):
        return Pinned(t=t.t, clean=move(t.clean))
    return move(t) if per_token(t) else t


def stacked(times: Sequence[Time], rows: int) -> Time:
    """The times of states of so many rows each, in one batch."""
    first = times[0]
    if not isinstance(first, Pinned):
        return torch.cat(list(times)) if isinstance(first, Tensor) and first.ndim else first
    if len(first.clean) == 1 and all(one is first for one in times):
        return first
    return Pinned(t=first.t, clean=torch.cat([one.clean.expand(rows, *first.clean.shape[1:]) for one in times]))
