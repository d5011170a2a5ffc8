"""Numbers as conditions: seconds, frames a second, sizes (`Scalar`), and one of a list of names (`Label`).

Neither has parameters: what they give is a fixed code, and the network that reads it learns what to make of it. The
null condition is all zeros, which no number and no name has for its code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mediagen.conditioners.base import Cond


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """Numbers in low..high -> {name: [B, width]}: cosines and sines of width/2 frequencies, a `Conditioner`.

    name: of the tensor. The range is mapped to 0..1 (by its logarithm if `log`). The frequencies are spaced evenly in
    octaves from half a turn over the range, which keeps the order of the numbers, up to `finest` times that (Fourier
    features, arXiv:2006.10739).
    """

    name: str
    low: float
    high: float
    width: int = 64
    finest: float = 256.0
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{self.name}: low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"{self.name}: low must be above 0 for a logarithmic range, got {self.low}")
        if self.width < 2 or self.width % 2:
            raise ValueError(f"{self.name}: width must be even and at least 2, got {self.width}")
        if self.finest < 1:
            raise ValueError(f"{self.name}: finest must be at least 1, got {self.finest}")

    def __call__(self, values: Sequence[float], /) -> Cond:
        """One number per sample. ValueError for one outside low..high."""
        wrong = [v for v in values if not self.low <= v <= self.high]
        if wrong:
            raise ValueError(f"{self.name} must lie in {self.low:g}..{self.high:g}, got {wrong[0]}")
        place = torch.tensor([self._place(v) for v in values], dtype=torch.float64)
        octaves = torch.linspace(0, math.log2(self.finest), self.width // 2, dtype=torch.float64)
        angle = math.pi * place[:, None] * 2**octaves
        return {self.name: torch.cat([angle.cos(), angle.sin()], 1).float()}

    def null(self, n: int, /) -> Cond:
        """Zeros [n, width]: no number was asked for."""
        return {self.name: torch.zeros(n, self.width)}

    def _place(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, kw_only=True)
class Label:
    """Names out of a list -> {name: [B, len(labels)]}, one-hot, a `Conditioner`."""

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"{self.name}: labels must be one or more different names, got {self.labels}")

    def __call__(self, values: Sequence[str], /) -> Cond:
        """One label per sample. ValueError for an unknown one."""
        unknown = [v for v in values if v not in self.labels]
        if unknown:
            raise ValueError(f"unknown {self.name} {unknown[0]!r}; known: {', '.join(self.labels)}")
        return {self.name: self._codes([self.labels.index(v) for v in values])}

    def null(self, n: int, /) -> Cond:
        """Zeros [n, len(labels)]: no label was asked for."""
        return {self.name: torch.zeros(n, len(self.labels))}

    def _codes(self, numbers: list[int]) -> Tensor:
        return torch.eye(len(self.labels))[numbers]
