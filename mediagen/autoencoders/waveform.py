"""Stereo sound <-> a sequence of latents, by convolutions over the frames of a short-time Fourier transform.

A convolution at the full sample rate costs as much for each of 44,100 samples a second as one of these for each of 86
frames; the transform and its inverse, which are exact, bring the rate down and up again for next to nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..nn.stft import STFT, check_frames, compress, expand, pack, unpack
from .base import LatentSpec
from .conv import ConvVAEConfig, Decoder, Encoder, through_decoder, through_encoder
from .reach import Interval
from .whitened import Whitened


@dataclass(frozen=True, kw_only=True)
class WaveformVAEConfig:
    """rate: samples a second; n_fft, hop: of the transform; power: what magnitudes are raised to before the network
    sees them. The other fields are those of `ConvVAEConfig` along the frames, finest level first: the stride in samples
    is hop * prod(strides)."""

    rate: int = 44_100
    channels: int = 2
    n_fft: int = 1024
    hop: int = 512
    power: float = 0.5
    latent_channels: int = 64
    strides: tuple[int, ...] = (1, 2, 2)
    encoder_widths: tuple[int, ...] = (256, 384, 512)
    encoder_depths: tuple[int, ...] = (1, 1, 2)
    decoder_widths: tuple[int, ...] = (256, 384, 640)
    decoder_depths: tuple[int, ...] = (2, 2, 4)

    def __post_init__(self) -> None:
        check_frames(self.n_fft, self.hop)
        _ = self.network  # raises if the levels do not agree
        if self.rate < 1 or self.channels not in (1, 2) or not 0 < self.power <= 1:
            raise ValueError(
                f"rate must be 1 or more, channels 1 or 2 and power above 0 and at most 1, not {self.rate}, "
                f"{self.channels} and {self.power}"
            )

    dims = 1  # of the media: time

    @property
    def network(self) -> ConvVAEConfig:
        """The sizes of the convolutions, whose media are packed frames."""
        return ConvVAEConfig(
            dims=1,
            media_channels=self.channels * self.n_fft,
            latent_channels=self.latent_channels,
            strides=self.strides,
            encoder_widths=self.encoder_widths,
            encoder_depths=self.encoder_depths,
            decoder_widths=self.decoder_widths,
            decoder_depths=self.decoder_depths,
        )

    @property
    def stride(self) -> int:
        """Samples a latent."""
        return self.hop * math.prod(self.strides)


class Frames(nn.Module):
    """Sound [B, C, T] <-> packed frames [B, C * n_fft, T/hop] of mid and side, as the network sees them: magnitudes
    compressed, and each row divided by its `scale`, which is measured before training: music has a thousand times less
    of its highest tones than of its lowest."""

    LEAST = 0.01  # of a row, about -100 dB of full scale

    def __init__(self, config: WaveformVAEConfig) -> None:
        super().__init__()
        self.stft, self.power, self.channels = STFT(config.n_fft, config.hop), config.power, config.channels
        self.register_buffer("scale", torch.ones(config.channels * config.n_fft, 1))

    def forward(self, x: Tensor) -> Tensor:
        return pack(compress(self.stft(mid_side(x)), self.power)) / self.scale

    def inverse(self, packed: Tensor) -> Tensor:
        return mid_side(self.stft.inverse(expand(unpack(packed * self.scale, self.channels), self.power)))

    @torch.no_grad()
    def measure(self, batches: Iterable[Tensor]) -> None:
        """Set the scales so that the frames of these sounds [B, C, T] have a mean square of 1 in each row."""
        squares = torch.stack([self(x).square().mean((0, 2)) for x in batches])
        self.scale.mul_(squares.mean(0).sqrt()[:, None]).clamp_(min=self.LEAST)


class WaveformVAE(Whitened):
    """Sound [B, 2, T] in [-1, 1] <-> whitened latents [B, latent, T/stride]."""

    def __init__(self, config: WaveformVAEConfig) -> None:
        spec = LatentSpec(channels=config.latent_channels, stride=(config.stride,), media_channels=config.channels)
        super().__init__(spec)
        self.config = config
        self.frames = Frames(config)
        self.frame_encoder, self.frame_decoder = Encoder(config.network), Decoder(config.network)

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Sound -> mean and log-variance of its latents, each [B, latent, T/stride]."""
        return self.frame_encoder(self.frames(x))

    def decoder(self, z: Tensor) -> Tensor:
        """Latents before whitening -> sound."""
        return self.frames.inverse(self.frame_decoder(z).float())

    @property
    def reach(self) -> int:
        """How many latents away a decoded sample can still feel: the margin of exact chunks."""
        c = self.config
        samples = Interval(0, 0).finer(c.stride)
        return through_decoder(samples.overlapped(c.n_fft, c.hop), c.network).reach

    @property
    def encoder_reach(self) -> int:
        """How many latents away a latent can still feel the sound."""
        c = self.config
        return through_encoder(Interval(0, 0), c.network).framed(c.n_fft, c.hop).coarser(c.stride).reach


def mid_side(x: Tensor) -> Tensor:
    """Left and right [B, 2, T] -> mid and side, their sum and difference over root 2: its own inverse, and energy is
    kept. One channel stays as it is."""
    if x.shape[1] == 1:
        return x
    left, right = x.unbind(1)
    return torch.stack((left + right, left - right), dim=1) * 0.5**0.5
