"""Grids of pairs, whose steps do not end where the next one begins: published schedules off their tables are such."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mediagen.core import edit, path, solve, timing
from mediagen.core.denoiser import Denoiser
from mediagen.core.rng import Keyed
from mediagen.generators.diffusion import Asked, Walk, generate

ROAD = path.Cosine()
X = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
TIMES, PAIRS = [1.0, 0.6, 0.3, 0.0], [[1.0, 0.6], [0.6, 0.3], [0.3, 0.0]]
APART = [[1.0, 0.6], [0.65, 0.2], [0.3, 0.0]]


class Told(torch.nn.Module):
    def forward(self, x: Tensor, t: Tensor, cond: dict[str, Any]) -> Tensor:
        return torch.sin(x * (1 + cond["gain"].view(-1, 1, 1))) + t.view(-1, 1, 1)


def made(times: list[Any], **options: Any) -> Tensor:
    asked = Asked(prompts=[({"gain": torch.tensor([0.5])}, 1.0)], null={"gain": torch.tensor([0.0])})
    walk = Walk(steps=3, timing={"name": "Explicit", "times": times}, **options)
    return solve.last(generate(Denoiser(Told(), ROAD, "v"), asked, X, Keyed(seed=1, samples=[0, 1]), walk)).x


@pytest.mark.parametrize(
    "options", [{}, {"solver": "euler", "method": "cfg_pp", "guidance": 0.6}, {"eta": 1.0}], ids=str
)
def test_pairs_that_meet_are_the_grid(options: dict[str, Any]) -> None:
    assert torch.equal(made(TIMES, **options), made(PAIRS, **options))
    assert not torch.allclose(made(TIMES, **options), made(APART, **options), atol=1e-3)


def test_variations_begin_where_a_pair_begins() -> None:
    x, left = edit.vary(X, X.flip(0), ROAD, torch.tensor(APART, dtype=torch.float64), 0.6)
    assert left.tolist() == APART[1:] and torch.equal(x, path.noise(ROAD, X, X.flip(0), 0.65))


def test_pairs_that_do_not_fall_are_refused() -> None:
    for times in ([[1.0, 0.5], [0.4, 0.4]], [[0.5, 0.2], [0.9, 0.0]], [[1.2, 0.5], [0.4, 0.0]]):
        with pytest.raises(ValueError, match="fall strictly"):
            timing.grid(timing.Explicit(times=times), 2, ROAD)
