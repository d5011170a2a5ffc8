"""From mel pictures back to sound: a network over frames that predicts spectra, and an inverse transform.

Vocos (arXiv:2306.00814): all layers work at the rate of the frames, and the inverse transform makes the samples.
"""

from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor, nn

from ..nn.conv import ResBlock, conv
from ..nn.norm import ChannelNorm
from ..nn.stft import STFT, Mel, amplitude, check_frames, exact, mel_filters
from .reach import Interval

ENTRY = 7  # width of the first convolution, as in Vocos


@dataclass(frozen=True, kw_only=True)
class VocoderConfig:
    """mel: the pictures; n_fft: of the spectra that are predicted, with the hop of the pictures; width, depth: channels
    and residual blocks."""

    mel: Mel = field(default_factory=Mel)
    channels: int = 2
    n_fft: int = 2048
    width: int = 320
    depth: int = 5

    def __post_init__(self) -> None:
        check_frames(self.n_fft, self.mel.hop)
        if self.channels not in (1, 2) or self.width < 1 or self.depth < 0:
            raise ValueError(
                f"channels must be 1 or 2, width 1 or more and depth 0 or more, not {self.channels}, {self.width} and "
                f"{self.depth}"
            )


class Vocoder(nn.Module):
    """Pictures [B, C, frames, mels] -> sound [B, C, frames * hop].

    Magnitudes start from what the picture says, each row's amplitude spread evenly over its bins; the network predicts
    by what to multiply it, and the phases. Left and right are predicted together, so that they can agree.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        bins, c = config.n_fft // 2 + 1, config
        self.enter = conv(1, c.channels * c.mel.mels, c.width, ENTRY)
        self.blocks = nn.Sequential(*(ResBlock(1, c.width) for _ in range(c.depth)))
        self.norm = ChannelNorm(c.width)
        self.head = conv(1, c.width, 2 * c.channels * bins, 1)
        self.stft = STFT(c.n_fft, c.mel.hop)
        self.register_buffer("spread", spread(c.mel, c.n_fft), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        h = rearrange(pictures, "b c f m -> b (c m) f").to(self.head.weight.dtype)
        h = self.head(self.norm(self.blocks(self.enter(h)))).float()
        factor, phase = rearrange(h, "b (p c n) f -> p b c n f", p=2, c=self.config.channels)
        magnitudes = self.coarse(pictures) * factor.clamp_max(8).exp()
        return self.stft.inverse(torch.polar(magnitudes, phase))

    def coarse(self, pictures: Tensor) -> Tensor:
        """Magnitudes [B, C, bins, frames] as far as the picture tells them."""
        with exact(pictures):
            return (amplitude(pictures.float()) @ self.spread).mT

    def needs(self, frames: Interval) -> Interval:
        """The frames of the picture that spectra are predicted from."""
        return frames.widened(ENTRY // 2 + 2 * self.config.depth)


def spread(mel: Mel, n_fft: int) -> Tensor:
    """[mels, n_fft/2 + 1]: from mel amplitudes to magnitudes as `STFT` scales them; a tone comes out about right."""
    filters = mel_filters(mel, n_fft)
    sine = STFT(n_fft, mel.hop).window.sum() / (2 * n_fft**0.5)  # the magnitude of a tone of amplitude 1
    return filters / filters.sum(1, keepdim=True).clamp_min(1) * sine
