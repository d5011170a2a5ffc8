"""What autoencoders have in common around their encoder and decoder: whitened latents on a grid that fits."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .base import LatentSpec


class Whitened(nn.Module):
    """Media <-> whitened latents. `mean` and `std` (per channel) are measured after training.

    encoder: media -> mean and log-variance of the latents before whitening; decoder: such latents -> media. Both are
    modules or methods of what derives from this.
    """

    encoder: Callable[[Tensor], tuple[Tensor, Tensor]]
    decoder: Callable[[Tensor], Tensor]

    def __init__(self, spec: LatentSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.zeros(spec.channels))
        self.register_buffer("std", torch.ones(spec.channels))

    def whiten(self, z: Tensor) -> Tensor:
        return (z - self._channelwise(self.mean)) / self._channelwise(self.std)

    def unwhiten(self, z: Tensor) -> Tensor:
        return z * self._channelwise(self.std) + self._channelwise(self.mean)

    def encode(self, x: Tensor) -> Tensor:
        """[B, C, *size] in [-1, 1] -> whitened latent means [B, latent, *grid]; ValueError for a size off the stride
        or another number of channels."""
        self.spec.grid(x.shape[2:])
        if x.shape[1] != self.spec.media_channels:
            raise ValueError(f"the media has {x.shape[1]} channels, the autoencoder {self.spec.media_channels}")
        return self.whiten(self.encoder(x)[0])

    def decode(self, z: Tensor) -> Tensor:
        """Whitened latents [B, latent, *grid] -> media [B, C, *size], about [-1, 1] (not clamped)."""
        if z.shape[1] != self.spec.channels:
            raise ValueError(f"the latents have {z.shape[1]} channels, the autoencoder {self.spec.channels}")
        return self.decoder(self.unwhiten(z).to(next(self.parameters()).dtype)).float()

    def _channelwise(self, v: Tensor) -> Tensor:
        return v.view(-1, *(1,) * self.spec.dims)
