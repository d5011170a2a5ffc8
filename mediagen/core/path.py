"""Paths from data to noise: t in [0, 1] -> (alpha, sigma), with x = alpha * x0 + sigma * eps, t = 0 data and t = 1
noise.

A path takes a python float and gives floats (what the sampling loop precomputes), or takes a tensor of any shape and
gives tensors of that shape (per sample or per token, for training). `path.time(ratio)` is its inverse: the t at which
sigma / alpha = ratio. SNR falls strictly with t on every path.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

import torch
from torch import Tensor

from mediagen.core import named

Number = TypeVar("Number", float, Tensor)


@runtime_checkable
class Path(Protocol):
    """t -> (alpha, sigma), and `time`, the t at which sigma / alpha has a given value (clamped to [0, 1])."""

    @overload
    def __call__(self, t: float) -> tuple[float, float]: ...
    @overload
    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]: ...
    def __call__(self, t: Any) -> tuple[Any, Any]: ...

    @overload
    def time(self, ratio: float) -> float: ...
    @overload
    def time(self, ratio: Tensor) -> Tensor: ...
    def time(self, ratio: Any) -> Any: ...


def _maths(value: Any) -> Any:
    """The module whose exp, sin, ... fit `value`: torch for tensors, math for floats."""
    return torch if isinstance(value, Tensor) else math


def _unit(t: Any) -> Any:
    """t clamped to [0, 1]."""
    return t.clamp(0.0, 1.0) if isinstance(t, Tensor) else min(max(t, 0.0), 1.0)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The straight line: alpha = 1 - t, sigma = t (rectified flow, arXiv 2209.03003; flow matching, arXiv
    2210.02747).
    """

    def __call__(self, t: Any) -> tuple[Any, Any]:
        return 1 - t, t

    def time(self, ratio: Any) -> Any:
        if isinstance(ratio, Tensor):
            return 1 / (1 + 1 / ratio)
        return 1.0 if math.isinf(ratio) else ratio / (1 + ratio)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """The quarter circle: alpha = cos(pi t / 2), sigma = sin(pi t / 2) (arXiv 2102.09672 without its offset;
    TrigFlow).
    """

    def __call__(self, t: Any) -> tuple[Any, Any]:
        m = _maths(t)
        return m.sin((1 - t) * (math.pi / 2)), m.sin(t * (math.pi / 2))  # so that alpha(1) is 0, not 6e-17

    def time(self, ratio: Any) -> Any:
        return _maths(ratio).atan(ratio) * (2 / math.pi)


@dataclass(frozen=True, kw_only=True)
class VP:
    """Variance preserving SDE with linear beta: log alpha = -(bmax - bmin) t^2 / 4 - bmin t / 2 (arXiv 2011.13456, eq.
    33).
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.beta_min < self.beta_max:
            raise ValueError(f"VP needs 0 < beta_min < beta_max, not {self.beta_min} and {self.beta_max}")

    def __call__(self, t: Any) -> tuple[Any, Any]:
        m = _maths(t)
        log_alpha = -t * ((self.beta_max - self.beta_min) * t / 4 + self.beta_min / 2)
        return m.exp(log_alpha), m.sqrt(-m.expm1(2 * log_alpha))

    def time(self, ratio: Any) -> Any:
        # alpha^-2 = 1 + ratio^2; the positive root of a quadratic, in the form that cancels neither near 0 nor at
        # infinity
        if not isinstance(ratio, Tensor) and ratio <= 0:
            return 0.0
        m = _maths(ratio)
        inverse = 2 / m.log1p(ratio * ratio)
        half = self.beta_min / 2 * inverse
        root = half + m.sqrt(half * half + (self.beta_max - self.beta_min) * inverse)
        return _unit(2 / root) if isinstance(root, Tensor) or root > 0 else 1.0


@dataclass(frozen=True, kw_only=True)
class VE:
    """Variance exploding: alpha = 1, sigma = sigma_min (exp(c t) - 1), sigma(1) = sigma_max (arXiv 2011.13456,
    2206.00364).

    Geometric in t above sigma_min as in the paper, linear below it, so that t = 0 is the data itself.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"VE needs 0 < sigma_min < sigma_max, not {self.sigma_min} and {self.sigma_max}")

    @cached_property
    def _rate(self) -> float:
        return math.log1p(self.sigma_max / self.sigma_min)

    def __call__(self, t: Any) -> tuple[Any, Any]:
        sigma = self.sigma_min * _maths(t).expm1(self._rate * t)
        return sigma * 0 + 1.0, sigma

    def time(self, ratio: Any) -> Any:
        return _unit(_maths(ratio).log1p(ratio / self.sigma_min) / self._rate)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A discrete table of alphas_cumprod, decreasing (arXiv 2006.11239): index i lies at t = (i + 1) / N, data at t =
    0.

    Between entries `spacing` interpolates "angle" = atan(sigma / alpha), "sigma" = sigma / alpha, or "log" of it; the
    last two need a last entry above 0 (they name what published samplers do between entries). Below the first entry it
    runs to 0.
    """

    alphas_cumprod: Sequence[float]
    spacing: str = "angle"

    def __post_init__(self) -> None:
        values = tuple(float(v) for v in self.alphas_cumprod)
        object.__setattr__(self, "alphas_cumprod", values)
        if len(values) < 2 or not all(1 > a > b >= 0 for a, b in pairwise(values)):
            raise ValueError(
                "alphas_cumprod must hold two values or more that fall strictly from below 1 to 0 or above"
            )
        if self.spacing not in ("angle", "sigma", "log"):
            raise ValueError(f"unknown spacing {self.spacing!r}; known: angle, sigma, log")
        if self.spacing != "angle" and values[-1] == 0:
            raise ValueError(f"spacing {self.spacing!r} needs alphas_cumprod[-1] > 0; use spacing='angle'")

    @classmethod
    def linear(cls, first: float = 1e-4, last: float = 0.02, n: int = 1000, *, spacing: str = "angle") -> Table:
        """DDPM's linear betas from `first` to `last`."""
        return cls._betas(torch.linspace(first, last, n, dtype=torch.float64), spacing)

    @classmethod
    def scaled_linear(
        cls, first: float = 0.00085, last: float = 0.012, n: int = 1000, *, spacing: str = "angle"
    ) -> Table:
        """Betas linear in their square root (latent diffusion, arXiv 2112.10752)."""
        return cls._betas(torch.linspace(first**0.5, last**0.5, n, dtype=torch.float64) ** 2, spacing)

    @classmethod
    def _betas(cls, betas: Tensor, spacing: str) -> Table:
        return cls(alphas_cumprod=(1 - betas).cumprod(0).tolist(), spacing=spacing)

    def zero_terminal(self) -> Table:
        """The same table shifted and scaled in sqrt(alphas_cumprod) so that its last entry is pure noise (arXiv
        2305.08891).
        """
        root = torch.tensor(self.alphas_cumprod, dtype=torch.float64).sqrt()
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        return Table(alphas_cumprod=(root**2).tolist(), spacing="angle")

    @property
    def size(self) -> int:
        """Number of entries N."""
        return len(self.alphas_cumprod)

    @cached_property
    def _angles(self) -> list[float]:
        """atan(sigma / alpha) at t = 0, 1/N, ..., 1."""
        return [0.0, *(math.atan2(math.sqrt(1 - a), math.sqrt(a)) for a in self.alphas_cumprod)]

    @cached_property
    def _nodes(self) -> list[float]:
        """What is interpolated at t = 0, 1/N, ..., 1. Below 1/N the angle itself is, for the log has no value at
        data.
        """
        if self.spacing == "angle":
            return self._angles
        ratios = [math.tan(v) for v in self._angles]
        return ratios if self.spacing == "sigma" else [-math.inf, *map(math.log, ratios[1:])]

    def __call__(self, t: Any) -> tuple[Any, Any]:
        if isinstance(t, Tensor):
            angle = self._angles_at(t)
            return torch.sin(math.pi / 2 - angle), torch.sin(angle)
        angle = self._angle(float(t))
        return math.sin(math.pi / 2 - angle), math.sin(angle)

    def _angle(self, t: float) -> float:
        size = self.size
        place = t * size
        if place <= 1:
            return place * self._angles[1]
        # a table's own times (i + 1) / N must land on its entries, whatever the rounding of t * N
        nearest = round(place)
        if abs(place - nearest) < 1e-9 * size:
            return self._angles[nearest]
        low = min(int(place), size - 1)
        value = self._nodes[low] + (place - low) * (self._nodes[low + 1] - self._nodes[low])
        return {"angle": float, "sigma": math.atan, "log": _atan_exp}[self.spacing](value)

    def _angles_at(self, t: Tensor) -> Tensor:
        """`_angle`, elementwise."""
        nodes, angles = (torch.tensor(v, dtype=t.dtype, device=t.device) for v in (self._nodes, self._angles))
        place = t * self.size
        low, nearest = place.long().clamp(0, self.size - 1), place.round().long().clamp(0, self.size)
        value = nodes[low] + (place - low) * (nodes[low + 1] - nodes[low])
        angle = {"angle": torch.Tensor.clone, "sigma": torch.atan, "log": lambda v: v.exp().atan()}[self.spacing](value)
        angle = torch.where((place - nearest).abs() < 1e-9 * self.size, angles[nearest], angle)
        return torch.where(place <= 1, place * angles[1], angle)

    def time(self, ratio: Any) -> Any:
        if isinstance(ratio, Tensor):
            flat = [self.time(r) for r in ratio.flatten().tolist()]
            return torch.tensor(flat, dtype=ratio.dtype, device=ratio.device).reshape(ratio.shape)
        angle = math.atan(ratio)
        if angle <= self._angles[1]:
            return max(angle, 0.0) / self._angles[1] / self.size
        value = {"angle": angle, "sigma": ratio, "log": math.log(ratio)}[self.spacing]
        low = min(bisect_right(self._nodes, value) - 1, self.size - 1)
        left, right = self._nodes[low], self._nodes[low + 1]
        return min((low + (value - left) / (right - left)) / self.size, 1.0)


def _atan_exp(value: float) -> float:
    return math.atan(math.exp(value))


def paths() -> dict[str, type]:
    """Every path of this module by name: Flow, Cosine, VP, VE, Table."""
    return named.members(globals(), lambda v: isinstance(v, type) and v is not Path and hasattr(v, "time"))


def find(name: str = "", **options: Any) -> Path:
    """A path by name and its options; ValueError for an unknown one."""
    return named.made("path", paths(), {"name": name, **options})


def spread(value: Any, x: Tensor) -> Any:
    """A per-sample tensor [B] shaped to broadcast over x [B, ...]; floats, scalars and per-token tensors pass as they
    are.
    """
    if not isinstance(value, Tensor) or value.ndim != 1:
        return value
    return value.reshape(-1, *[1] * (x.ndim - 1))


def logsnr(path: Path, t: Number) -> Number:
    """log(alpha / sigma), half the log of the signal-to-noise power ratio: +inf at data, -inf where alpha is 0."""
    alpha, sigma = path(t)
    if isinstance(alpha, Tensor):
        return torch.log(alpha) - torch.log(sigma)  # pyright: ignore[reportArgumentType, reportReturnType]
    return log_ratio(alpha, sigma)  # pyright: ignore[reportArgumentType, reportReturnType]


def log_ratio(alpha: float, sigma: float) -> float:
    """log(alpha / sigma) of floats, infinite at the ends."""
    if sigma <= 0:
        return math.inf
    return math.log(alpha) - math.log(sigma) if alpha > 0 else -math.inf


def noise(path: Path, x0: Tensor, eps: Tensor, t: Any) -> Tensor:
    """x = alpha x0 + sigma eps at t: a float, [B], or per token [B, 1, *grid]. x0, eps and x: [B, C, *grid]."""
    alpha, sigma = path(t)
    return (spread(alpha, x0) * x0 + spread(sigma, x0) * eps).to(x0.dtype)


def move(x: Tensor, x0: Tensor, now: tuple[Any, Any], then: tuple[Any, Any]) -> Tensor:
    """One step from (alpha, sigma) `now` to `then`, exact while x0 is constant: DDIM, Euler on flow and on EDM sigmas.

    Never divides by alpha, so pure noise (alpha = 0) needs no epsilon; sigma must be above 0.
    """
    (a, s), (a2, s2) = now, then
    ratio = s2 / s
    return spread(ratio, x) * x + spread(a2 - a * ratio, x) * x0
