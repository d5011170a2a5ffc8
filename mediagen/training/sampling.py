"""Quick looks at a denoiser in training."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..core import guidance, rng, solve, timing
from ..core.denoiser import Denoiser


@torch.no_grad()
def sampled(
    model: Denoiser, like: Tensor, cond: Mapping, null: Mapping, *, steps: int = 12, scale: float = 3.0, seed: int = 0
) -> Tensor:
    """Clean states of `like`'s shape [B, C, *grid] by a few Euler steps with classifier-free guidance, always from the
    same noise for a seed."""
    times = timing.grid(timing.Uniform(), steps, model.path)
    noise = rng.Keyed(seed=seed, samples=range(len(like)))(0, like)
    positive, negative = model.bind(cond), model.bind(null)
    denoise = guidance.guided(positive, guidance.cfg(positive, negative, scale), together=False)
    start = noise * model.path(float(times[0]))[1]
    *_, last = solve.sample(denoise, start, model.path, times, rule="euler")
    return last.x
