"""What the music reader looks at beside a mel picture: a picture of pitches for the key, and rhythms for the tempo.

Both have logarithmic axes, on which another key or another tempo is the same pattern further along.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.stft import HERE, check_frames, framed, level, magnitude

RATIOS = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0, 4.0)  # of a beat: what repeats in music


@dataclass(frozen=True, kw_only=True)
class Pitches:
    """A picture of pitches: `steps` rows a semitone over `octaves` octaves from MIDI key `low` on; frames of n_fft
    samples, `hop` apart. Long frames tell semitones apart from about 180 Hz on."""

    rate: int = 44_100
    n_fft: int = 16_384
    hop: int = 8192
    low: int = 40
    octaves: int = 5
    steps: int = 3

    def __post_init__(self) -> None:
        check_frames(self.n_fft, self.hop)
        if self.steps % 2 == 0 or self.steps < 1 or self.octaves < 2:
            raise ValueError(f"steps must be odd and octaves 2 or more, not {self.steps} and {self.octaves}")

    @property
    def rows(self) -> int:
        return 12 * self.octaves * self.steps


def pitch_filters(pitches: Pitches) -> Tensor:
    """Triangles of height 1 around each row's frequency [rows, n_fft/2 + 1], a row or a bin wide to either side,
    whichever is more. A key lies in the middle of its `steps` rows."""
    rows = torch.arange(pitches.rows, dtype=torch.float64, device=HERE)
    keys = pitches.low + (rows - pitches.steps // 2) / pitches.steps
    hertz = 440 * 2 ** ((keys - 69) / 12)
    bins = torch.linspace(0, pitches.rate / 2, pitches.n_fft // 2 + 1, dtype=torch.float64, device=HERE)
    reach = (hertz * (2 ** (1 / (12 * pitches.steps)) - 1)).clamp_min(pitches.rate / pitches.n_fft)
    return (1 - (bins - hertz[:, None]).abs() / reach[:, None]).clamp_min(0).float()


class PitchPicture(nn.Module):
    """Signals [B, C, T] -> pictures [B, C, T/hop, rows], with levels as those of `LogMel`."""

    def __init__(self, pitches: Pitches) -> None:
        super().__init__()
        self.n_fft, self.hop = pitches.n_fft, pitches.hop
        window = torch.hann_window(pitches.n_fft, device=HERE)
        self.register_buffer("window", window * (2 / window.sum()), persistent=False)
        self.register_buffer("filters", pitch_filters(pitches), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """ValueError unless T is a positive multiple of the hop."""
        with torch.autocast(x.device.type, enabled=False):
            magnitudes = magnitude(torch.fft.rfft(framed(x, self.n_fft, self.hop) * self.window))
            return level(magnitudes @ self.filters.T)


@dataclass(frozen=True, kw_only=True)
class Tempi:
    """The tempi that are told apart: `count` from `low` beats a minute on, each faster by a factor exp(step)."""

    low: float = 50.0
    step: float = 0.015
    count: int = 100

    def values(self) -> Tensor:
        """Beats a minute [count]."""
        return self.low * torch.exp(self.step * torch.arange(self.count, dtype=torch.float64, device=HERE)).float()

    def spread(self, tempo: Tensor, width: float = 1.0) -> Tensor:
        """Tempi [B] -> distributions [B, count] around them, `width` steps to either side (a Gaussian's deviation)."""
        place = torch.log(tempo[:, None].double() / self.low) / self.step
        distance = torch.arange(self.count, device=tempo.device) - place
        return torch.softmax(-0.5 * (distance / width).square(), dim=1).float()

    def most_likely(self, chances: Tensor) -> Tensor:
        """Distributions [B, count] -> tempi [B]: the middle of the chances around the greatest one."""
        peak = chances.argmax(1, keepdim=True)
        places = torch.arange(self.count, device=chances.device)
        near = chances.double() * ((places - peak).abs() <= 2)
        place = (near * places).sum(1) / near.sum(1)
        return self.low * torch.exp(self.step * place)


def rhythms(curves: Tensor, rate: float, tempi: Tempi) -> Tensor:
    """How well curves repeat after each tempo's beat, its parts and multiples: [B, C, N] at `rate` a second ->
    [B, C * ratios, count].

    Autocorrelations over their value at zero, averaged over the width of a tempo's step, so that no peak falls between
    two tempi. What lies beyond three quarters of the curve is 0.
    """
    frames = curves.shape[-1]
    power = autocorrelation(curves.float())
    lags = rate * 60 / tempi.values().to(curves.device) * torch.tensor(RATIOS, device=curves.device)[:, None]
    half = (lags * tempi.step / 2).clamp_min(0.5)
    found = mean_between(power, lags - half, lags + half)
    return (found * (lags < 0.75 * frames)).flatten(1, 2)


def autocorrelation(curves: Tensor) -> Tensor:
    """[B, C, N] -> [B, C, N]: of the curves without their means, by lag, as a share of the value at lag 0."""
    frames = curves.shape[-1]
    spectrum = torch.fft.rfft(curves - curves.mean(-1, keepdim=True), n=2 * frames)
    power = torch.fft.irfft(spectrum.real.square() + spectrum.imag.square(), n=2 * frames)[..., :frames]
    pairs = torch.arange(frames, 0, -1, device=curves.device)
    power = power / pairs
    return power / (power[..., :1] + 1e-8)


def mean_between(curves: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    """Means of curves [..., N] between places [...S] (in samples, of which k covers k - 0.5 to k + 0.5): [..., S]."""
    total = F.pad(curves.double().cumsum(-1), (1, 0))
    return ((_at(total, stop + 0.5) - _at(total, start + 0.5)) / (stop - start)).to(curves.dtype)


def _at(curve: Tensor, place: Tensor) -> Tensor:
    """Values between samples by straight lines; beyond the ends those of the ends."""
    place = place.double().clamp(0, curve.shape[-1] - 1)
    low = place.floor().long().clamp_max(curve.shape[-1] - 2)
    return torch.lerp(curve[..., low], curve[..., low + 1], place - low)
