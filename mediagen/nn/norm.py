"""Normalisation that looks at one position only, so that tiles and whole inputs agree."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """RMS norm over the channels of [B, C, *grid] (arXiv:1910.07467).

    Group norm would mix all positions: a tile of a picture would then be normalised differently from the whole.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = F.rms_norm(x.movedim(1, -1), self.scale.shape, self.scale.to(x.dtype), eps=1e-6)
        return y.movedim(-1, 1)


class RMSNorm(nn.Module):
    """RMS norm over the last axis, with or without a learned scale."""

    def __init__(self, width: int, learned: bool = True) -> None:
        super().__init__()
        self.width = width
        self.scale = nn.Parameter(torch.ones(width)) if learned else None

    def forward(self, x: Tensor) -> Tensor:
        scale = None if self.scale is None else self.scale.to(x.dtype)
        return F.rms_norm(x, (self.width,), scale, eps=1e-6)
