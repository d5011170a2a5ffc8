"""Where on [0, 1] the time is spent. A map u -> t is a sampling grid (u = 1 ... 0) and a training density (u uniform)
alike.

`grid(timing, steps, path)` gives steps + 1 times from noise to data, `draw(timing, u, path)` the times of a training
batch. Timings that only mean something as a grid (`Grid`: the grids of tables, align-your-steps, a list) refuse to be
drawn from. A timing may speak of noise levels sigma / alpha; the path turns them into times, so every timing works on
every path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mediagen.core import named
from mediagen.core.beta import beta_quantile
from mediagen.core.path import Path, Table


class Map:
    """A timing that is a function u -> t. `open`: its u = 0 lies above data, so the grid adds a last step to t = 0."""

    open: bool = False

    def __call__(self, u: Tensor, path: Path) -> Tensor:
        """t in [0, 1] for u in [0, 1], increasing; float64, any shape."""
        raise NotImplementedError

    def grid(self, steps: int, path: Path) -> Tensor:
        if self.open:
            inner = self(_ramp(steps - 1), path) if steps > 1 else self(_ramp(1)[:1], path)
            return torch.cat((inner, inner.new_zeros(1)))
        return self(_ramp(steps), path)


class Grid:
    """A timing that is only a grid: steps -> times."""

    def grid(self, steps: int, path: Path) -> Tensor:
        """Times [steps + 1], decreasing, float64."""
        raise NotImplementedError


Timing = Map | Grid


def grid(timing: Timing, steps: int, path: Path) -> Tensor:
    """Times [steps + 1] in float64, strictly decreasing from noise to data, or pairs (from, to) [steps, 2] of steps
    that overlap. ValueError if steps < 1 or the grid stands still.
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, not {steps}")
    times = timing.grid(steps, path)
    falls = bool((times[1:] < times[:-1]).all()) and (times.ndim == 1 or bool((times[:, 1] < times[:, 0]).all()))
    if not falls or times.max() > 1 or times.min() < 0:
        raise ValueError(
            f"{timing} with {steps} steps does not fall strictly within [0, 1]; use fewer steps or another timing"
        )
    return times


def draw(timing: Timing, u: Tensor, path: Path) -> Tensor:
    """Times for training from uniform u in (0, 1), of u's shape, float64. ValueError for a timing that is only a
    grid.
    """
    if not isinstance(timing, Map):
        raise ValueError(f"{type(timing).__name__} is only a sampling grid; train with one of {', '.join(densities())}")
    return timing(u.double(), path)


@dataclass(frozen=True, kw_only=True)
class Uniform(Map):
    """t = low + (high - low) u."""

    low: float = 0.0
    high: float = 1.0

    def __call__(self, u: Tensor, path: Path) -> Tensor:
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True, kw_only=True)
class Karras(Map):
    """sigma / alpha linear in its 1/rho-th power between two levels (arXiv 2206.00364, eq. 5), then data."""

    sigma_min: float | None = None
    sigma_max: float | None = None
    rho: float = 7.0
    open = True

    def __call__(self, u: Tensor, path: Path) -> Tensor:
        low, high = (v ** (1 / self.rho) for v in levels(path, self.sigma_min, self.sigma_max))
        return path.time((low + u * (high - low)) ** self.rho)


@dataclass(frozen=True, kw_only=True)
class Exponential(Map):
    """log(sigma / alpha) linear between two levels, then data: uniform steps in log-SNR."""

    sigma_min: float | None = None
    sigma_max: float | None = None
    open = True

    def __call__(self, u: Tensor, path: Path) -> Tensor:
        low, high = (math.log(v) for v in levels(path, self.sigma_min, self.sigma_max))
        return path.time(torch.exp(low + u * (high - low)))


@dataclass(frozen=True, kw_only=True)
class LogNormal(Map):
    """log(sigma / alpha) normal (arXiv 2206.00364, sec. 5). On the flow path this is the logit-normal of arXiv
    2403.03206.
    """

    mean: float = -1.2
    std: float = 1.2

    def __call__(self, u: Tensor, path: Path) -> Tensor:
        return path.time(torch.exp(self.mean + self.std * torch.special.ndtri(u)))


@dataclass(frozen=True, kw_only=True)
class Beta(Map):
    """t spread as Beta(a, b): both ends dense for a, b < 1 (arXiv 2407.12173 uses 0.6, 0.6)."""

    a: float = 0.6
    b: float = 0.6

    def __post_init__(self) -> None:
        if not (self.a > 0 and self.b > 0):
            raise ValueError(f"Beta needs a > 0 and b > 0, not {self.a} and {self.b}")

    def __call__(self, u: Tensor, path: Path) -> Tensor:
        return beta_quantile(u, self.a, self.b)


@dataclass(frozen=True, kw_only=True)
class Shift(Map):
    """Another timing with every sigma / alpha times `by`: on flow, t -> by t / (1 + (by - 1) t) (arXiv 2403.03206, eq.
    23).
    """

    by: float = 3.0
    of: Map = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        if not self.by > 0:
            raise ValueError(f"Shift needs by > 0, not {self.by}")

    @classmethod
    def sized(cls, tokens: int, trained: int, of: Map | None = None) -> Shift:
        """By sqrt(tokens / trained): what keeps the information lost to noise the same at another size (arXiv
        2301.11093).
        """
        return cls(by=math.sqrt(tokens / trained), of=of or Uniform())

    @classmethod
    def fitted(
        cls,
        tokens: int,
        low: tuple[float, float] = (256, 0.5),
        high: tuple[float, float] = (4096, 1.15),
        of: Map | None = None,
    ) -> Shift:
        """By exp(mu), mu linear in the token count through two points (tokens, mu), as Flux and LTX publish it."""
        slope = (high[1] - low[1]) / (high[0] - low[0])
        return cls(by=math.exp(low[1] + slope * (tokens - low[0])), of=of or Uniform())

    @property
    def open(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.of.open

    def __call__(self, u: Tensor, path: Path) -> Tensor:
        a, s = path(self.of(u, path))
        bent = self.by / (a / s + (self.by - 1) / _loudest(path))
        return path.time(bent)


@dataclass(frozen=True, kw_only=True)
class LinearQuadratic(Grid):
    """Linear steps down from noise over the first `linear` of them to 1 - threshold, then quadratic (Movie Gen, arXiv
    2410.13720).
    """

    threshold: float = 0.025
    linear: float = 0.5

    def grid(self, steps: int, path: Path) -> Tensor:
        first = max(int(steps * self.linear), 1)
        if first >= steps:
            return _ramp(steps)
        i = torch.arange(steps + 1, dtype=torch.float64)
        slope, rest = self.threshold / first, steps - first
        bend = (1 - self.threshold - slope * rest) / rest**2
        travelled = torch.where(i <= first, i * slope, self.threshold + slope * (i - first) + bend * (i - first) ** 2)
        return 1 - travelled / travelled[-1]


@dataclass(frozen=True, kw_only=True)
class Leading(Grid):
    """A table's times k (N // steps) + offset: ends low, starts below pure noise (arXiv 2305.08891, table 2)."""

    offset: int = 0
    last: float = 0.0

    def grid(self, steps: int, path: Path) -> Tensor:
        n = _table(path, steps).size
        index = torch.arange(steps, dtype=torch.float64).flip(0) * (n // steps) + self.offset
        return _indexed(index, n, self.last)


@dataclass(frozen=True, kw_only=True)
class Trailing(Grid):
    """A table's times N - 1 and down in even steps (arXiv 2305.08891, table 2)."""

    last: float = 0.0

    def grid(self, steps: int, path: Path) -> Tensor:
        n = _table(path, steps).size
        index = torch.round(n - torch.arange(steps, dtype=torch.float64) * (n / steps)) - 1
        return _indexed(index, n, self.last)


@dataclass(frozen=True, kw_only=True)
class Linspace(Grid):
    """A table's times evenly from N - 1 to 0, whole numbers if `whole` (DDIM's) or between entries (Euler's)."""

    whole: bool = False
    last: float = 0.0

    def grid(self, steps: int, path: Path) -> Tensor:
        n = _table(path, steps).size
        index = torch.linspace(n - 1, 0, steps, dtype=torch.float64)
        return _indexed(index.round() if self.whole else index, n, self.last)


# Noise levels published for ten steps (arXiv 2404.14507, appendix); other counts are interpolated in their logarithm
_ALIGNED = {
    "sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "svd": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}


@dataclass(frozen=True, kw_only=True)
class AlignYourSteps(Grid):
    """The optimised noise levels of arXiv 2404.14507 for `model`: sd15, sdxl or svd. Its last step goes to data."""

    model: str = "sd15"

    def __post_init__(self) -> None:
        named.find("align-your-steps table", _ALIGNED, self.model)

    def grid(self, steps: int, path: Path) -> Tensor:
        levels = torch.tensor(_ALIGNED[self.model], dtype=torch.float64).log()
        place = torch.linspace(0, len(levels) - 1, steps + 1, dtype=torch.float64)
        low = place.long().clamp(max=len(levels) - 2)
        ratio = torch.exp(levels[low] + (place - low) * (levels[low + 1] - levels[low]))
        return torch.cat((path.time(ratio[:-1]), ratio.new_zeros(1)))


@dataclass(frozen=True, kw_only=True)
class Explicit(Grid):
    """A list of times, noise first, data last, or of noise levels sigma / alpha if `levels`; or of pairs (from, to), of
    steps that do not end where the next one begins.
    """

    times: Sequence[Any]
    levels: bool = False

    def grid(self, steps: int, path: Path) -> Tensor:
        times = torch.tensor(self.times, dtype=torch.float64)
        count = len(times) - (times.ndim == 1)
        if steps != count:
            raise ValueError(f"the list has {len(times)} entries, so {count} steps, not {steps}")
        return path.time(times) if self.levels else times


def levels(path: Path, low: float | None = None, high: float | None = None) -> tuple[float, float]:
    """Levels sigma / alpha for a grid: what is given, else EDM's 0.002 and 80 as far as the path has them."""
    least = path.time(0.002) if not isinstance(path, Table) else max(path.time(0.002), 1 / path.size)
    a, s = path(least)
    return s / a if low is None else low, min(80.0, _loudest(path)) if high is None else high


def _loudest(path: Path) -> float:
    """sigma / alpha at t = 1, infinite where alpha is 0."""
    a, s = path(1.0)
    return s / a if a > 1e-9 else math.inf


def stretch(times: Tensor, last: float) -> Tensor:
    """Times [n + 1] with 1 - t scaled so that the one before data is `last` (LTX-Video's terminal shift, arXiv
    2501.00103).
    """
    scaled = 1 - (1 - times) * ((1 - last) / (1 - times[-2]))
    return torch.cat((scaled[:-1], times[-1:]))


def timings() -> dict[str, Callable[..., Timing]]:
    """Every timing of this module by name."""
    return named.members(
        globals(), lambda v: isinstance(v, type) and issubclass(v, (Map, Grid)) and v not in (Map, Grid)
    )


def densities() -> dict[str, Callable[..., Timing]]:
    """The timings that are also training densities."""
    return {name: kind for name, kind in timings().items() if isinstance(kind, type) and issubclass(kind, Map)}


def find(name: str = "", **options: Any) -> Timing:
    """A timing by name and its options, which may hold another one as {"name": ...}; ValueError for an unknown one."""
    return named.made("timing", timings(), {"name": name, **options})


def _ramp(steps: int) -> Tensor:
    return torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64)


def _table(path: Path, steps: int) -> Table:
    if not isinstance(path, Table):
        raise ValueError(
            f"this timing speaks of a table's entries; the path is {path}, use a timing such as uniform or shift"
        )
    if steps > path.size:
        raise ValueError(f"a table of {path.size} entries allows at most {path.size} steps, not {steps}")
    return path


def _indexed(index: Tensor, n: int, last: float) -> Tensor:
    """Times of a table's (fractional) indices, then the last."""
    return torch.cat(((index + 1) / n, index.new_tensor([last])))
