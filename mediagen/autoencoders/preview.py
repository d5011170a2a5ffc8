"""A tiny decoder that shows a latent as a small picture in a few milliseconds, while sampling still runs."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.conv import ResBlock, Up, conv
from ..nn.norm import ChannelNorm


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """grow: how many times finer than the latent grid the preview is, e.g. 4 beside an f8 autoencoder for media at half
    the full resolution; width, depth: channels and residual blocks, all at the latent grid. frames: of clips (dims 3),
    how many are shown of each latent but the first, which is one; 0 where the first of three axes is not time."""

    dims: int = 2
    latent_channels: int = 16
    media_channels: int = 3
    grow: int = 4
    width: int = 48
    depth: int = 1
    frames: int = 0

    def __post_init__(self) -> None:
        if self.grow < 1 or self.depth < 0:
            raise ValueError(f"grow must be 1 or more and depth 0 or more, not {self.grow} and {self.depth}")
        if self.frames < 0 or (self.frames and self.dims != 3):
            raise ValueError(f"frames {self.frames} must be 0 or more, and 0 unless dims is 3, not {self.dims}")

    @property
    def grows(self) -> tuple[int, ...]:
        """How many times finer the preview is along each axis."""
        return (self.frames, *(self.grow,) * (self.dims - 1)) if self.frames else (self.grow,) * self.dims


class Preview(nn.Module):
    """Whitened latents [B, latent, *grid] -> media [B, media, *(grid * grow)], about [-1, 1] (not clamped); of clips
    [B, latent, 1 + n, h, w] -> [B, media, 1 + n frames, h grow, w grow], and no frame feels a later latent."""

    def __init__(self, config: PreviewConfig) -> None:
        super().__init__()
        self.config = config
        c, clips = config, bool(config.frames)
        kernel = (1, 3, 3) if clips else 3
        self.enter = conv(c.dims, c.latent_channels, c.width, causal=clips)
        self.blocks = nn.ModuleList(ResBlock(c.dims, c.width, kernel=kernel) for _ in range(c.depth))
        self.norm = ChannelNorm(c.width)
        self.head = Up(c.width, c.media_channels, c.grows, kernel, causal=clips)

    def forward(self, z: Tensor) -> Tensor:
        h = self.enter(z.to(self.enter.weight.dtype))
        for block in self.blocks:
            h = block(h)
        return self.head(F.silu(self.norm(h))).float()
