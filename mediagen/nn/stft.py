"""Short-time Fourier transforms as layers: sound as a sequence of frames that convolutions can work on, and back.

Frames lie so that a signal of T samples has exactly T / hop of them, each around its own stretch of `hop` samples, and
what lies outside of the signal is silence. A part of a signal has then the frames of the whole, but for those near its
borders, and these are as far away as the window reaches.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

HERE = "cpu"  # windows and filters are made anew, not loaded, and so are real in a module on the meta device too
FLOOR = 1e-12  # added to squared magnitudes under a power, whose gradient at zero is not finite


class STFT(nn.Module):
    """Signals [B, C, T] <-> complex spectra [B, C, n_fft/2 + 1, T/hop], perfectly reconstructing.

    Analysis and synthesis use the same sine window, scaled so that the transform keeps energy (a tight frame) wherever
    n_fft/hop windows overlap; near the ends of a signal fewer do, and the inverse divides by what they sum to.
    """

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        check_frames(n_fft, hop)
        self.n_fft, self.hop, self.pad = n_fft, hop, (n_fft - hop) // 2
        window = torch.sin(math.pi * (torch.arange(n_fft, dtype=torch.float64, device=HERE) + 0.5) / n_fft)
        self.register_buffer("window", (window * (2 * hop / n_fft) ** 0.5).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> complex [B, C, bins, T/hop]; ValueError unless T is a positive multiple of the hop."""
        return torch.fft.rfft(framed(x, self.n_fft, self.hop) * self.window, norm="ortho").mT

    def inverse(self, spectra: Tensor) -> Tensor:
        """Complex [B, C, bins, frames] -> [B, C, frames * hop]."""
        frames = torch.fft.irfft(spectra.mT, n=self.n_fft, norm="ortho") * self.window
        weight = self.window.square().expand(frames.shape[-2], -1)
        return self._overlapped(frames) / self._overlapped(weight)

    def _overlapped(self, frames: Tensor) -> Tensor:
        """[..., frames, n_fft] -> their sum where they lie, without the padding: [..., frames * hop]."""
        count, parts = frames.shape[-2], self.n_fft // self.hop
        pieces = rearrange(frames, "... f (k h) -> ... k f h", h=self.hop).unbind(-3)
        total = sum(F.pad(piece, (0, 0, k, parts - 1 - k)) for k, piece in enumerate(pieces))
        return rearrange(total, "... f h -> ... (f h)")[..., self.pad : self.pad + count * self.hop]


def framed(x: Tensor, n_fft: int, hop: int) -> Tensor:
    """[B, C, T] -> frames [B, C, T/hop, n_fft], each around its own `hop` samples; ValueError unless T is a positive
    multiple of the hop."""
    if x.shape[-1] == 0 or x.shape[-1] % hop:
        raise ValueError(f"{x.shape[-1]} samples are not a positive multiple of the hop, {hop}")
    pad = (n_fft - hop) // 2
    return F.pad(x.float(), (pad, pad)).unfold(-1, n_fft, hop)


def check_frames(n_fft: int, hop: int) -> None:
    """ValueError unless frames of n_fft samples can lie `hop` apart around their own stretches and overlap evenly."""
    if hop < 1 or n_fft < 2 * hop or n_fft % hop or (n_fft - hop) % 2:
        raise ValueError(f"n_fft {n_fft} must be a multiple of hop {hop}, at least twice it, and n_fft - hop even")


def pack(spectra: Tensor) -> Tensor:
    """Complex [B, C, n_fft/2 + 1, frames] -> as many real numbers as a frame has samples, [B, C * n_fft, frames]: the
    real parts, then the imaginary ones but for the first and the last bin, which are zero in every real signal."""
    return rearrange(torch.cat((spectra.real, spectra.imag[..., 1:-1, :]), dim=-2), "b c n f -> b (c n) f")


def unpack(packed: Tensor, channels: int) -> Tensor:
    """Real [B, C * n_fft, frames] -> complex [B, C, n_fft/2 + 1, frames]. Exact inverse of `pack`."""
    packed = rearrange(packed.float(), "b (c n) f -> b c n f", c=channels)
    bins = packed.shape[-2] // 2 + 1
    real, imag = packed[..., :bins, :], packed[..., bins:, :]
    return torch.complex(real, F.pad(imag, (0, 0, 1, 1)))


def compress(spectra: Tensor, power: float) -> Tensor:
    """Magnitudes to a power, phases kept: quiet partials come closer to loud ones (as in arXiv:2408.06500, 3.1)."""
    return spectra * (power_of(spectra) + FLOOR) ** ((power - 1) / 2)


def expand(spectra: Tensor, power: float) -> Tensor:
    """The inverse of `compress`, but for what lies below 1e-6."""
    return spectra * (power_of(spectra) + FLOOR) ** ((1 / power - 1) / 2)


def magnitude(spectra: Tensor) -> Tensor:
    """|X|, at least 1e-8 so that its gradient is finite at zero."""
    return (power_of(spectra) + 1e-16).sqrt()


def power_of(spectra: Tensor) -> Tensor:
    """|X| squared."""
    return spectra.real.square() + spectra.imag.square()


@dataclass(frozen=True, kw_only=True)
class Mel:
    """A mel picture: rate in Hz, n_fft and hop of its frames in samples, `mels` rows between `low` and `high` Hz."""

    rate: int = 44_100
    n_fft: int = 2048
    hop: int = 512
    mels: int = 128
    low: float = 20.0
    high: float = 20_000.0

    def __post_init__(self) -> None:
        check_frames(self.n_fft, self.hop)
        if not 0 <= self.low < self.high <= self.rate / 2:
            raise ValueError(f"low {self.low:g} and high {self.high:g} Hz must lie in 0..{self.rate / 2:g}, in order")


def mel_filters(mel: Mel, n_fft: int) -> Tensor:
    """Triangles of height 1, evenly spaced on the scale 2595 log10(1 + f/700): [mels, n_fft/2 + 1].

    ValueError if a triangle falls between two bins.
    """
    low, high = (2595 * math.log10(1 + f / 700) for f in (mel.low, mel.high))
    corners = 700 * (10 ** (torch.linspace(low, high, mel.mels + 2, dtype=torch.float64, device=HERE) / 2595) - 1)
    bins = torch.linspace(0, mel.rate / 2, n_fft // 2 + 1, dtype=torch.float64, device=HERE)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp_min(0)
    if not filters.sum(1).all():
        raise ValueError(f"{mel.mels} mels are too many for n_fft {n_fft} at {mel.rate} Hz: the lowest hold no bin")
    return filters.float()


class LogMel(nn.Module):
    """Signals [B, C, T] -> pictures [B, C, T/hop, mels]: -1 is 100 dB below full scale or less, +1 full scale.

    A full-scale sine stands at about +1 in its row; loud noise can lie above, and is not cut off there.
    """

    def __init__(self, mel: Mel) -> None:
        super().__init__()
        self.n_fft, self.hop = mel.n_fft, mel.hop
        window = torch.hann_window(mel.n_fft, device=HERE)
        self.register_buffer("window", window * (2 / window.sum()), persistent=False)
        self.register_buffer("filters", mel_filters(mel, mel.n_fft), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """ValueError unless T is a positive multiple of the hop."""
        with exact(x):
            magnitudes = magnitude(torch.fft.rfft(framed(x, self.n_fft, self.hop) * self.window))
            return level(magnitudes @ self.filters.T)


def exact(x: Tensor) -> AbstractContextManager:
    """Without autocast where x lies; the meta device, on which shapes are counted, knows none."""
    return nullcontext() if x.device.type == "meta" else torch.autocast(x.device.type, enabled=False)


def level(amplitude: Tensor) -> Tensor:
    """Amplitudes -> -1 at 1e-5 (-100 dB) and below, +1 at 1 (0 dB)."""
    return 0.4 * amplitude.clamp_min(1e-5).log10() + 1


def amplitude(level: Tensor) -> Tensor:
    """The inverse of `level`."""
    return 10 ** (2.5 * (level - 1))
