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


def rotation(coordinates: Tensor, width: int, base: float = 100.0) -> tuple[Tensor, Tensor]:
    """cos and sin [N, width/2] for a head of `width` numbers; the axes share the pairs as evenly as they divide.

    `base` sets the longest wavelength (2 pi base cells); latent grids are short, so it is far below the 10000 of text.
    """
    pairs, dims = width // 2, coordinates.shape[1]
    counts = [pairs // dims + (i < pairs % dims) for i in range(dims)]
    angles = [
        coordinates[:, i, None] * base ** (-torch.arange(n, device=coordinates.device) / max(1, n))
        for i, n in enumerate(counts)
    ]
    angle = torch.cat(angles, dim=1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the halves of each head: x [B, heads, N, width]; cos and sin [N, width/2]."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
