"""Rotary position embedding for any number of axes (arXiv:2104.09864), positions given as data."""

from collections.abc import Sequence

import torch
from torch import Tensor


def positions(grid: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Integer coordinates [N, dims] of every cell of `grid`, last axis fastest, measured from the grid's centre.

    Centred coordinates let a model that was trained on one size meet familiar numbers in the middle of another size.
    """
    axes = [torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2 for n in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))


def rotation(coordinates: Tensor, width: int, base: float = 100.0, clips: bool = False) -> tuple[Tensor, Tensor]:
    """cos and sin [N, width/2] for a head of `width` numbers; the axes share the pairs as evenly as they divide.

    `base` sets the longest wavelength (2 pi base cells); latent grids are short, so it is far below the 10000 of text.
    clips: the first axis, time, has no pairs of its own but turns those of space as well (axes mixed in a pair, as in
    arXiv:2403.13298): a clip of one frame, whose time is 0, is then turned as its picture. Where space turns a pair
    fast time turns it slowly, or a step along all axes could cancel one back in time.
    """
    if clips:
        time, coordinates = coordinates[:, :1], coordinates[:, 1:]
    pairs, dims = width // 2, coordinates.shape[1]
    counts = [pairs // dims + (i < pairs % dims) for i in range(dims)]
    speeds = [base ** (-torch.arange(n, device=coordinates.device) / max(1, n)) for n in counts]
    angle = torch.cat([coordinates[:, i, None] * speed for i, speed in enumerate(speeds)], dim=1)
    if clips:
        angle = angle + time * torch.cat([speed.flip(0) for speed in speeds])
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the halves of each head: x [B, heads, N, width]; cos and sin [N, width/2]."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
