"""A tiny decoder that shows a latent as a small picture in a few milliseconds, while sampling still runs."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.conv import ResBlock, Up, conv
from ..nn.norm import ChannelNorm


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """grow: how many times finer than the latent grid the preview is, e.g. 4 beside an f8 autoencoder for media at half
    the full resolution; width, depth: channels and residual blocks, all at the latent grid."""

    dims: int = 2
    latent_channels: int = 16
    media_channels: int = 3
    grow: int = 4
    width: int = 48
    depth: int = 1

    def __post_init__(self) -> None:
        if self.grow < 1 or self.depth < 0:
            raise ValueError(f"grow must be 1 or more and depth 0 or more, not {self.grow} and {self.depth}")


class Preview(nn.Module):
    """Whitened latents [B, latent, *grid] -> media [B, media, *(grid * grow)], about [-1, 1] (not clamped)."""

    def __init__(self, config: PreviewConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.enter = conv(c.dims, c.latent_channels, c.width)
        self.blocks = nn.ModuleList(ResBlock(c.dims, c.width) for _ in range(c.depth))
        self.norm = ChannelNorm(c.width)
        self.head = Up(c.width, c.media_channels, (c.grow,) * c.dims)

    def forward(self, z: Tensor) -> Tensor:
        h = self.enter(z.to(self.enter.weight.dtype))
        for block in self.blocks:
            h = block(h)
        return self.head(F.silu(self.norm(h))).float()
