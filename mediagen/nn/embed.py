"""Numbers to vectors, and media to tokens."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conv import fold, unfold


def fourier(t: Tensor, width: int, scale: float = 1000.0) -> Tensor:
    """Sinusoidal features [..., width] of a scalar in about [0, 1] (arXiv:1706.03762), wavelengths geometric from
    2 pi/scale to 10 * 2 pi (in units of t)."""
    frequencies = torch.exp(-math.log(scale * 10) * torch.arange(width // 2, device=t.device) / (width // 2)) * scale
    angle = t.float()[..., None] * frequencies
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class VectorLinear(nn.Linear):
    """A linear layer for vectors, of which a sample has one: what it makes of one of them does not depend, in its last
    bits either, on how many there are. Kernels of CPUs take rows in fours and round those left over differently, so the
    last four are filled up with zeros. Layers for tokens have rows enough."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if not (left_over := len(rows) % 4):
            return super().forward(x)
        return super().forward(F.pad(rows, (0, 0, 0, 4 - left_over)))[: len(rows)].reshape(*x.shape[:-1], -1)


class TimeEmbed(nn.Module):
    """t in [0, 1], shape [...] -> [..., width]."""

    def __init__(self, width: int, features: int = 256) -> None:
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(VectorLinear(features, width), nn.SiLU(), VectorLinear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        return self.layers(fourier(t, self.features).to(self.layers[0].weight.dtype))


class ScalarEmbed(nn.Module):
    """Adds the codes of numbers (`conditioners.scalar`) to a vector, each through a matrix of its own.

    widths: the name of each number and how wide its code is. A code of zeros, the null condition, adds nothing.
    """

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: VectorLinear(n, width, bias=False) for name, n in widths.items()})

    def forward(self, x: Tensor, cond: Mapping[str, Any]) -> Tensor:
        """x [B, width]; cond[name] [B, widths[name]] for each name. ValueError for one that is missing."""
        if missing := [name for name in self.layers if name not in cond]:
            raise ValueError(f"the condition lacks {', '.join(missing)}: give a number, or the null condition's zeros")
        return x + sum(layer(cond[name].to(x.dtype)) for name, layer in self.layers.items())


def tokens(x: Tensor, patch: Sequence[int]) -> Tensor:
    """[B, C, *grid] -> [B, N, C*prod(patch)], one token a patch; ValueError if the patch does not divide the grid."""
    if any(n % p for n, p in zip(x.shape[2:], patch, strict=True)):
        raise ValueError(f"the latent grid {tuple(x.shape[2:])} is not a multiple of the patch {tuple(patch)}")
    return fold(x, patch).flatten(2).transpose(1, 2)


def untokens(y: Tensor, grid: Sequence[int], patch: Sequence[int]) -> Tensor:
    """Inverse of `tokens` for a latent grid of size `grid`."""
    cells = [n // p for n, p in zip(grid, patch, strict=True)]
    return unfold(y.transpose(1, 2).unflatten(2, cells), patch)
