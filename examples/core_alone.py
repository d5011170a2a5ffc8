"""The core needs no network: any function (x, t) -> x0 can be walked. Here the exact denoiser of two Gaussians."""

import torch

from mediagen.core import path, rng, solve, timing

flow = path.Flow()
modes, width = torch.tensor([-2.0, 1.0]), 0.1


def denoise(x: torch.Tensor, t: float) -> torch.Tensor:
    """E[x0 | x] of data at -2 or 1, each with deviation 0.1."""
    a, s = flow(t)
    variance = (a * width) ** 2 + s**2
    share = torch.softmax(-((x[..., None] - a * modes) ** 2) / (2 * variance), dim=-1)
    means = modes + a * width**2 / variance * (x[..., None] - a * modes)
    return (share * means).sum(-1)


x = rng.normal((1000,), seed=0)[None]
times = timing.grid(timing.Uniform(), 20, flow)
for solver in ("euler", "dpmpp_2m", "unipc", "rk4"):
    end = solve.last(solve.sample(denoise, x, flow, times, rule=solver)).x
    print(f"{solver:9} at -2: {(end < -0.5).float().mean():.3f}  deviation about 1: {end[end > -0.5].std():.4f}")
