"""What every autoencoder offers: a latent space with a name, a size and whitened coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn.conv import earlier, fold


@dataclass(frozen=True, kw_only=True)
class LatentSpec:
    """The shape of a latent space.

    channels: numbers per latent position.
    stride: media samples per latent position, one entry an axis, e.g. (8, 8) for an f8 image autoencoder.
    media_channels: channels of the media tensor (3 for RGB).
    causal: whether the first axis is time and never looks ahead. Its first latent is then one frame, alone, and each
    further one stands for `stride` frames: 1 + 4k frames have 1 + k latents, and a picture is a clip of one frame.
    """

    channels: int
    stride: tuple[int, ...]
    media_channels: int = 3
    causal: bool = False

    @property
    def dims(self) -> int:
        return len(self.stride)

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        """Media size (one entry an axis) -> latent grid; ValueError unless each side is a positive multiple of the
        stride, or of causal time, one frame more than a multiple."""
        size = tuple(size)
        if len(size) != self.dims or any(n <= 0 for n in size):
            raise ValueError(f"size {size} is not {self._sizes()}")
        grid = tuple(-(-n // s) for n, s in zip(size, self.stride, strict=True))
        if self.causal:
            grid = (-(-(size[0] - 1) // self.stride[0]) + 1, *grid[1:])
        if self.size(grid) != size:
            raise ValueError(f"size {size} is not {self._sizes()}")
        return grid

    def size(self, grid: Sequence[int]) -> tuple[int, ...]:
        """Latent grid -> media size, the inverse of `grid`; ValueError unless each side is 1 or more."""
        grid = tuple(grid)
        if len(grid) != self.dims or any(n < 1 for n in grid):
            raise ValueError(f"grid {grid} is not {self.dims} sides of 1 or more")
        return tuple(self.covered(axis, n) for axis, n in enumerate(grid))

    def covered(self, axis: int, count: int) -> int:
        """Media samples along an axis that its first `count` latents stand for, count 0 or more."""
        if self.causal and axis == 0:
            return max(1 + self.stride[0] * (count - 1), 0)
        return self.stride[axis] * count

    def _sizes(self) -> str:
        """The sizes that there are, in words."""
        if not self.causal:
            return f"a positive multiple of {self.stride} along each axis"
        rest = f", and a positive multiple of {self.stride[1:]} along the other axes" if self.dims > 1 else ""
        return f"1 + a multiple of {self.stride[0]} in time{rest}"


class Autoencoder(Protocol):
    """Media [B, C, *size] in [-1, 1] <-> whitened latents [B, spec.channels, *grid] (mean 0, deviation 1 a channel).

    reach, encoder_reach: how many latent positions away decoding and encoding can feel, along every axis or one entry
    for each (causal time: backwards): the margins of exact tiling.
    """

    spec: LatentSpec
    reach: int | tuple[int, ...]
    encoder_reach: int | tuple[int, ...]

    def encode(self, x: Tensor) -> Tensor: ...

    def decode(self, z: Tensor) -> Tensor: ...


def each_axis(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """A number for all axes, or one for each -> one for each. ValueError for another count."""
    values = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(values) != dims:
        raise ValueError(f"{values} has {len(values)} entries; {dims} axes need one, or one each")
    return values


def in_strides(media: Tensor, spec: LatentSpec) -> Tensor:
    """Media [B, C, *size] whose sides are whole strides: in front of a causal time the first frame is repeated, so that
    what the first latent stands for is as long as the others."""
    return earlier(media, spec.stride[0] - 1) if spec.causal else media


def on_grid(media: Tensor, spec: LatentSpec) -> Tensor:
    """Media [B, C, *size] as channels on the latent grid [B, C prod(stride), *grid], nothing lost. Of a causal time
    frames may be missing at the end, where the last one stays. ValueError unless the other sides are whole strides."""
    short = -(media.shape[2] - 1) % spec.stride[0] if spec.causal else 0
    if short:
        media = torch.cat([media, media[:, :, -1:].expand(-1, -1, short, *media.shape[3:])], 2)
    spec.grid(media.shape[2:])
    return fold(in_strides(media, spec), spec.stride)


def filled(z: Tensor, count: int) -> Tensor:
    """Latents [B, C, n, ...] with zeros after them up to `count` along the first axis."""
    return F.pad(z, (*(0, 0) * (z.ndim - 3), 0, count - z.shape[2]))


def smaller(media: Tensor, factor: int | Sequence[int]) -> Tensor:
    """Media [B, C, *size] averaged over boxes of `factor` a side (one number, or one for each axis); ValueError unless
    it divides each side."""
    factors = each_axis(factor, media.ndim - 2)
    if any(n % f for n, f in zip(media.shape[2:], factors, strict=True)):
        raise ValueError(f"size {tuple(media.shape[2:])} is not a multiple of {factor} along each axis")
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[media.ndim - 3]
    return pool(media, factors)
