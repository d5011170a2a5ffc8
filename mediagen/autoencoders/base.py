"""What every autoencoder offers: a latent space with a name, a size and whitened coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LatentSpec:
    """The shape of a latent space.

    channels: numbers per latent position.
    stride: media samples per latent position, one entry an axis, e.g. (8, 8) for an f8 image autoencoder.
    media_channels: channels of the media tensor (3 for RGB).
    causal: whether the first axis is time and never looks ahead.
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
        stride."""
        size = tuple(size)
        if len(size) != self.dims or any(n <= 0 or n % s for n, s in zip(size, self.stride, strict=True)):
            raise ValueError(f"size {size} is not a positive multiple of {self.stride} along each axis")
        return tuple(n // s for n, s in zip(size, self.stride, strict=True))


class Autoencoder(Protocol):
    """Media [B, C, *size] in [-1, 1] <-> whitened latents [B, spec.channels, *grid] (mean 0, deviation 1 a channel).

    reach, encoder_reach: how many latent positions away decoding and encoding can feel: the margins of exact tiling.
    """

    spec: LatentSpec
    reach: int
    encoder_reach: int

    def encode(self, x: Tensor) -> Tensor: ...

    def decode(self, z: Tensor) -> Tensor: ...


def smaller(media: Tensor, factor: int) -> Tensor:
    """Media [B, C, *size] averaged over cubes of `factor` a side; ValueError unless it divides each side."""
    if any(n % factor for n in media.shape[2:]):
        raise ValueError(f"size {tuple(media.shape[2:])} is not a multiple of {factor} along each axis")
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[media.ndim - 3]
    return pool(media, factor)
