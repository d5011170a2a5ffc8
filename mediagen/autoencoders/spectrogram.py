"""Stereo sound <-> latents of its mel picture: the autoencoder of images on log-mel pictures, and a vocoder.

The picture's latents [B, C, frames, rows] are handed on as a sequence [B, C * rows, frames]: one axis, time, as for
every other autoencoder of sound, so that chunks, samplers and transformers need not know that there is a picture.
"""

import math
from dataclasses import dataclass, field

from einops import rearrange
from torch import Tensor

from ..nn.stft import LogMel
from .base import LatentSpec
from .conv import ConvVAE, ConvVAEConfig, through_decoder, through_encoder
from .reach import Interval
from .vocoder import Vocoder, VocoderConfig
from .whitened import Whitened


def small_pictures() -> ConvVAEConfig:
    """f8 over frames and mels alike, 8 channels a position."""
    return ConvVAEConfig(
        media_channels=2,
        latent_channels=8,
        encoder_widths=(64, 160),
        encoder_depths=(1, 2),
        decoder_widths=(64, 160),
        decoder_depths=(2, 3),
    )


@dataclass(frozen=True, kw_only=True)
class SpectrogramVAEConfig:
    """pictures: the 2-D autoencoder, its axes frames and mels; vocoder: what plays them, and the pictures' scale."""

    pictures: ConvVAEConfig = field(default_factory=small_pictures)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)

    dims = 1  # of the media: time

    def __post_init__(self) -> None:
        if self.pictures.dims != 2 or self.pictures.media_channels != self.vocoder.channels:
            raise ValueError(
                f"pictures need dims 2 and media_channels {self.vocoder.channels} (the vocoder's channels), not "
                f"{self.pictures.dims} and {self.pictures.media_channels}"
            )
        if self.vocoder.mel.mels % self.factor:
            raise ValueError(f"{self.vocoder.mel.mels} mels are not a multiple of the pictures' factor {self.factor}")

    @property
    def factor(self) -> int:
        """Frames and mels a latent position."""
        return math.prod(self.pictures.grows)

    @property
    def rows(self) -> int:
        return self.vocoder.mel.mels // self.factor

    @property
    def stride(self) -> int:
        """Samples a latent."""
        return self.vocoder.mel.hop * self.factor

    @property
    def rate(self) -> int:
        return self.vocoder.mel.rate


class SpectrogramVAE(Whitened):
    """Sound [B, 2, T] in [-1, 1] <-> whitened latents [B, C * rows, T/stride]."""

    def __init__(self, config: SpectrogramVAEConfig) -> None:
        channels = config.pictures.latent_channels * config.rows
        spec = LatentSpec(channels=channels, stride=(config.stride,), media_channels=config.vocoder.channels)
        super().__init__(spec)
        self.config = config
        self.mel = LogMel(config.vocoder.mel)
        self.pictures = ConvVAE(config.pictures)
        self.vocoder = Vocoder(config.vocoder)

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Sound -> mean and log-variance, each [B, C * rows, T/stride]."""
        mean, logvar = self.pictures.encoder(self.mel(x))
        return rearrange(mean, "b c f r -> b (c r) f"), rearrange(logvar, "b c f r -> b (c r) f")

    def decoder(self, z: Tensor) -> Tensor:
        return self.vocoder(self.picture(z))

    def picture(self, z: Tensor) -> Tensor:
        """Latents before whitening [B, C * rows, frames] -> mel pictures [B, 2, frames * factor, mels]."""
        return self.pictures.decoder(rearrange(z, "b (c r) f -> b c f r", r=self.config.rows))

    @property
    def reach(self) -> int:
        """How many latents away a decoded sample can still feel: the margin of exact chunks."""
        c = self.config.vocoder
        frames = Interval(0, 0).finer(self.config.stride).overlapped(c.n_fft, c.mel.hop)
        return through_decoder(self.vocoder.needs(frames), self.config.pictures).reach

    @property
    def encoder_reach(self) -> int:
        """How many latents away a latent can still feel the sound."""
        mel = self.config.vocoder.mel
        frames = through_encoder(Interval(0, 0), self.config.pictures)
        return frames.framed(mel.n_fft, mel.hop).coarser(self.config.stride).reach
