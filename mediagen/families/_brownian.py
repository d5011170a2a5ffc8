"""The noise of published samplers that walk along one Brownian path, as they draw it from a generator."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..core.rng import Drawn


@dataclass(frozen=True, kw_only=True, eq=False)
class Brownian:
    """What starts a batch is drawn from the generator; what its step from levels[i] to levels[i + 1] adds is the
    increment of a Brownian path from `low` to `high`, whose seed is the generator's own.

    The path is torchsde's, the one that diffusers draws from: without it nothing published can be made again, and a
    ValueError says so. Levels are rounded to float32, as the published schedulers keep them.
    """

    generator: torch.Generator
    levels: Sequence[float]
    low: float
    high: float

    def __post_init__(self) -> None:
        if importlib.util.find_spec("torchsde") is None:
            raise ValueError("this model's noise is drawn from a generator by torchsde: pip install torchsde, or seed=")

    def __call__(self, step: int, like: Tensor) -> Tensor:
        return Drawn(generator=self.generator)(step, like)

    def of(self, purpose: str) -> Any:
        return Increments(path=self) if purpose == "step" else self


@dataclass(frozen=True, kw_only=True, eq=False)
class Increments:
    """(step, like) -> the increment of a path over a step, scaled to a standard normal. One batch at a time."""

    path: Brownian
    trees: dict[tuple[int, ...], Any] = field(default_factory=dict, init=False)

    def __call__(self, step: int, like: Tensor) -> Tensor:
        shape = tuple(like.shape)
        if shape not in self.trees:
            self.trees[shape] = self._tree(shape)
        now, then = (torch.tensor(level, dtype=torch.float32) for level in self.path.levels[step : step + 2])
        ends = (level.clamp(self.path.low, self.path.high) for level in (then, now))
        return -self.trees[shape](*ends).to(like) / (now - then).sqrt()  # it goes down, from noise to data

    def of(self, purpose: str) -> Increments:
        return self

    def _tree(self, shape: tuple[int, ...]) -> Any:
        from torchsde import BrownianInterval

        ends = {"t0": torch.tensor(self.path.low), "t1": torch.tensor(self.path.high)}
        exact = {"tol": 1e-6, "pool_size": 24, "halfway_tree": True}
        seed = self.path.generator.initial_seed()
        return BrownianInterval(**ends, size=shape, dtype=torch.float32, entropy=seed, **exact)
