"""One step of the grid in python floats, the noise it takes, and what a walk keeps and shows of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mediagen.core.path import Path, log_ratio

Spread = Callable[[float, float], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of the grid in python floats, from (a, s) at t to (a2, s2) at `then`, by way of s2 = `down` plus noise
    `nu`.

    level is log(alpha / sigma) now, h the step in it, z the same to `down`: z = h without noise, 2 h with that of the
    full SDE.
    """

    index: int
    total: int
    path: Path
    t: float
    then: float
    a: float
    s: float
    a2: float
    s2: float
    down: float
    nu: float
    level: float
    h: float
    z: float

    @property
    def keep(self) -> float:
        """The share of x in the next x."""
        return self.down / self.s

    @property
    def gain(self) -> float:
        """The share of x0 in the next x."""
        return self.a2 - self.a * self.keep

    def visit(self, x: Tensor, x0: Tensor, t: float) -> Tensor:
        """x taken to another time t with x0 held."""
        a, s = self.path(t)
        return mix(x, x0, s / self.s, a - self.a * s / self.s)


@dataclass(kw_only=True, slots=True, eq=False)  # frozen ones, of which each step makes two, take 1 us longer
class Past:
    """A finished step: where it began, what the denoiser said there and the better x0 that was used. noise: what is
    kept of it by rules that ask for its noise in each of the next steps."""

    step: Step
    x: Tensor
    x0: Tensor
    best: Tensor
    noise: Tensor | None = None


@dataclass(kw_only=True, slots=True, eq=False)
class State:
    """After `step` of `total` steps: the time t, x there [B, C, *grid], and the denoiser's last x0, good for a
    preview.
    """

    step: int
    total: int
    t: float
    x: Tensor
    x0: Tensor


def ancestral(eta: float) -> Spread:
    """nu = eta s' sqrt(1 - exp(-2 h)), eta in [0, 1]: DDIM's and the ancestral samplers' eta (arXiv 2010.02502, eq.
    16).
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"ancestral eta must be in 0 .. 1, not {eta}; sde(eta) takes any eta >= 0")
    return lambda h, s2: eta * s2 * math.sqrt(-math.expm1(-2 * h))


def sde(eta: float) -> Spread:
    """nu = s' sqrt(1 - exp(-2 eta h)), eta >= 0: the SDE of DPM-Solver++ (arXiv 2211.01095); infinite eta renews all
    noise.
    """
    if not eta >= 0:
        raise ValueError(f"sde eta must be 0 or more, not {eta}")
    return lambda h, s2: s2 * math.sqrt(-math.expm1(-2 * eta * h)) if eta else 0.0


def plan(path: Path, times: Tensor | Sequence[float], eta: float | Spread | None = None) -> list[Step]:
    """The coefficients of a whole grid, in float64, before the first step. ValueError for a grid that does not fall."""
    listed: list[Any] = times.double().tolist() if isinstance(times, Tensor) else list(times)
    pairs: list[Any] = listed if listed and isinstance(listed[0], list | tuple) else list(pairwise(listed))
    if not pairs or not all(1 >= now > then >= 0 for now, then in pairs):
        raise ValueError(f"times must fall strictly within [0, 1], two or more of them, not {listed}")
    spread = eta if callable(eta) else ancestral(eta or 0.0)
    ends = {t: _end(path, t) for t in {t for pair in pairs for t in pair}}  # a step ends where the next one begins
    return [_step(path, i, len(pairs), ends[now], ends[then], spread) for i, (now, then) in enumerate(pairs)]


End = tuple[float, float, float, float]


def _end(path: Path, t: float) -> End:
    """(t, alpha, sigma, log(alpha / sigma)) of one end of a step."""
    a, s = path(t)
    return t, a, s, log_ratio(a, s)


def _step(path: Path, index: int, total: int, now: End, then: End, spread: Spread) -> Step:
    (t, a, s, level), (t2, a2, s2, level2) = now, then
    h = z = level2 - level
    nu, down = spread(h, s2) if s2 else 0.0, s2
    if nu:
        down = math.sqrt(max(s2 * s2 - nu * nu, 0.0))
        z = log_ratio(a2, down) - level
    ends = {"t": t, "then": t2, "a": a, "s": s, "a2": a2, "s2": s2}
    return Step(index=index, total=total, path=path, **ends, down=down, nu=nu, level=level, h=h, z=z)


def mix(x: Tensor, y: Tensor, keep: float, gain: float) -> Tensor:
    """keep x + gain y in as few kernels as there are, for each costs a small step 2 us: one where keep is 1 or both sum
    to 1, as on the flow path; else two, neither of them a product with a number, which takes as long as both. The
    result lies in memory as y, what the network said: kernels over two layouts take ten times as long.
    """
    if x.stride(-1) != y.stride(-1):
        x = torch.empty_like(y).copy_(x)
    if abs(keep - 1) < 1e-15:
        return torch.add(x, y, alpha=gain)
    mixed, rest = torch.lerp(x, y, gain), keep + gain - 1
    return mixed if abs(rest) < 1e-15 else mixed.add_(x, alpha=rest)
