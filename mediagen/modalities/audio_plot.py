"""A picture of a sound: its waveform above its mel spectrogram, with scales."""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log10
from typing import TYPE_CHECKING

import numpy as np
import torch

from .image import Image

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

GROUND, PANEL, TEXT, FAINT = (17, 17, 24), (25, 25, 35), (226, 226, 234), (128, 128, 146)
PEAK, BODY = (142, 58, 140), (252, 150, 106)  # of the waveform: its extent, its effective value
# Nine points of a scale of evenly rising lightness, from black over violet and orange to pale yellow.
COLOURS = ((0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122), (229, 80, 100), (251, 135, 97),
           (254, 194, 135), (252, 253, 191))  # fmt: skip
RANGE = 80  # dB that the colours span, downwards from the loudest
WINDOW = 0.06  # seconds, rounded to a power of two of samples
PADDED = 4  # FFT length in windows: the lowest mel bands need finer bins than the window gives
FRAMES = 12  # windows averaged in a column, at most
SIZES = (480, 240, 8000)  # least width, least height, most of either
TICKS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)  # Hz


@dataclass(frozen=True, kw_only=True)
class Box:
    """Pixels of a panel: right and bottom are the first outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


def picture(samples: np.ndarray, rate: int, *, size: tuple[int, int] = (1200, 640), title: str | None = None) -> Image:
    """float32 [C, N] in [-1, 1] -> a picture of `size` (width, height). ValueError for a size that holds no panels."""
    from PIL import Image as Pil
    from PIL import ImageDraw

    width, height = size
    if not (SIZES[0] <= width <= SIZES[2] and SIZES[1] <= height <= SIZES[2]):
        raise ValueError(f"a picture of a sound is {SIZES[0]}x{SIZES[1]} to {SIZES[2]} pixels a side, not {size}")
    wave, mel = _panels(width, height)
    canvas = np.full((height, width, 3), GROUND, np.uint8)
    scale = _amplitude(samples)
    for lane, channel in zip(_lanes(wave, len(samples)), samples, strict=True):
        canvas[lane.top : lane.bottom, lane.left : lane.right] = waveform(channel, lane.width, lane.height, scale)
    levels, loudest = spectrogram(samples, rate, mel.width, mel.height)
    canvas[mel.top : mel.bottom, mel.left : mel.right] = coloured(1 + (levels - loudest) / RANGE)
    bar = Box(left=mel.right + 14, top=mel.top, right=mel.right + 26, bottom=mel.bottom)
    canvas[bar.top : bar.bottom, bar.left : bar.right] = coloured(np.linspace(1, 0, bar.height))[:, None]
    pil = Pil.fromarray(canvas)
    draw = ImageDraw.Draw(pil)
    _header(draw, wave, samples, rate, title)
    _amplitudes(draw, _lanes(wave, len(samples)), scale)
    _frequencies(draw, mel, rate)
    _decibels(draw, bar, loudest)
    _times(draw, mel, samples.shape[1] / rate)
    return Image(np.array(pil))


def waveform(channel: np.ndarray, width: int, height: int, scale: float) -> np.ndarray:
    """float32 [N] -> uint8 [height, width, 3]: in each column the extent of its samples and their effective value.

    Edges are blended by how much of a pixel they cover, so they are smooth without drawing larger first.
    """
    low, high, body = _columns(channel, width)
    middle, half = height / 2, (height / 2 - 3) / scale
    panel = np.tile(np.array(PANEL, np.float64), (height, width, 1))
    panel[int(middle)] += 14
    for top, bottom, colour in ((middle - high * half, middle - low * half, PEAK),
                                (middle - body * half, middle + body * half, BODY)):  # fmt: skip
        thin = np.maximum(0, 1.2 - (bottom - top)) / 2  # a line stays visible
        rows = np.arange(height)[:, None]
        cover = np.clip(np.minimum(bottom + thin, rows + 1) - np.maximum(top - thin, rows), 0, 1)[..., None]
        panel = panel * (1 - cover) + np.array(colour) * cover
    return panel.round().astype(np.uint8)


def _columns(channel: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least, greatest and effective value of each column; neighbours share a sample, so that a curve is connected."""
    if len(channel) < 4 * width:
        at = np.linspace(0, len(channel) - 1, 4 * width)
        channel = np.interp(at, np.arange(len(channel)), channel).astype(np.float32)
    edges = np.linspace(0, len(channel), width, endpoint=False).astype(int)
    following = channel[np.append(edges[1:], len(channel) - 1)]
    low = np.minimum(np.minimum.reduceat(channel, edges), following)
    high = np.maximum(np.maximum.reduceat(channel, edges), following)
    body = np.sqrt([np.dot(part, part) / len(part) for part in np.split(channel, edges[1:])])
    return low, high, np.minimum(body, np.maximum(np.abs(low), np.abs(high)))


def spectrogram(samples: np.ndarray, rate: int, width: int, height: int) -> tuple[np.ndarray, float]:
    """float32 [C, N] -> (float64 [height, width] in dB, high frequencies first; its maximum, 0 for
    silence), the mean of the channels.

    0 dB is the power of a sine of full scale, all of it in one band (between two bands it reads up to 3 dB less; below
    1 kHz, where bands are narrower than the window can tell apart, less still). Each column averages up to 12 Hann
    windows of about 60 ms spread over its time.
    """
    from PIL import Image as Pil

    size = 2 ** round(np.log2(rate * WINDOW))
    bands = max(16, height // 2)
    power = _column_power(torch.from_numpy(samples), size, width)
    decibels = 10 * np.log10(np.maximum((power @ _mel_bands(rate, size * PADDED, bands)).numpy(), 1e-12))
    smooth = Pil.fromarray(decibels.T[::-1].astype(np.float32)).resize((width, height), Pil.Resampling.BILINEAR)
    return np.array(smooth, np.float64), float(decibels.max()) if bool(samples.any()) else 0.0


def _mel_bands(rate: int, size: int, bands: int) -> torch.Tensor:
    """[size / 2 + 1, bands]: triangles that overlap by half, evenly spaced in mel from 0 Hz to half the rate."""
    from torchaudio.functional import melscale_fbanks

    return melscale_fbanks(size // 2 + 1, 0.0, rate / 2, bands, rate)


def _column_power(x: torch.Tensor, size: int, width: int) -> torch.Tensor:
    """[C, N] -> [width, bins]: the power spectrum, averaged in each column; a few columns at a time."""
    window = torch.hann_window(size)
    step = x.shape[1] / width
    frames = min(FRAMES, max(1, ceil(step / size)))
    centres = ((torch.arange(width)[:, None] + (torch.arange(frames) + 0.5) / frames) * step).long()
    return torch.cat([_power(x, part, window) for part in centres.split(64)])


def _power(x: torch.Tensor, centres: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """centres [columns, frames] -> [columns, bins]; there is silence before the first sample and after the last."""
    at = centres[..., None] + torch.arange(len(window)) - len(window) // 2
    heard = window * ((at >= 0) & (at < x.shape[1]))
    cut = x[:, at.clamp(0, x.shape[1] - 1)] * heard  # [C, columns, frames, size]
    spectrum = torch.fft.rfft(cut, n=PADDED * len(window)) * (2 / window.sum())
    return spectrum.abs().square().mean(dim=(0, 2)) / (1.5 * PADDED)  # bins that a sine fills with a Hann window


def coloured(values: np.ndarray) -> np.ndarray:
    """0..1 [...] -> uint8 [..., 3]; what lies outside is clamped."""
    points = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(values, points, c) for c in zip(*COLOURS, strict=True)], -1).round().astype(np.uint8)


# ---- panels, scales and their labels


def _panels(width: int, height: int) -> tuple[Box, Box]:
    left, right, top, bottom, gap = 58, width - 84, 40, height - 34, 12
    middle = top + round(0.36 * (bottom - top))
    return Box(left=left, top=top, right=right, bottom=middle), Box(
        left=left, top=middle + gap, right=right, bottom=bottom
    )


def _lanes(panel: Box, count: int) -> list[Box]:
    """One below the other, with a gap of 2."""
    edges = np.linspace(panel.top, panel.bottom + 2, count + 1).round().astype(int).tolist()
    return [Box(left=panel.left, top=a, right=panel.right, bottom=b - 2) for a, b in pairwise(edges)]


def _amplitude(samples: np.ndarray) -> float:
    """The least of 1, 0.5, 0.2, 0.1 ... 0.001 that nothing exceeds: a quiet sound fills its lane too. 1 for silence."""
    peak = max(float(samples.max()), -float(samples.min()))
    return min(s for s in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001) if s >= (peak or 1))


def _write(draw: "ImageDraw", at: tuple[float, float], text: str, anchor: str, colour: tuple[int, int, int]) -> None:
    from PIL import ImageFont

    draw.text(at, text, fill=colour, anchor=anchor, font=ImageFont.load_default(13))


def _header(draw: "ImageDraw", wave: Box, samples: np.ndarray, rate: int, title: str | None) -> None:
    channels = {1: "mono", 2: "stereo"}.get(len(samples), f"{len(samples)} channels")
    peak = max(float(samples.max()), -float(samples.min()))
    level = f"peak {20 * log10(peak):.1f} dB" if peak > 0 else "silence"
    facts = f"{samples.shape[1] / rate:.2f} s    {rate / 1000:g} kHz    {channels}    {level}"
    _write(draw, (wave.right, wave.top - 12), facts, "rs", FAINT)
    if title:
        _write(draw, (wave.left, wave.top - 12), title, "ls", TEXT)


def _amplitudes(draw: "ImageDraw", lanes: list[Box], scale: float) -> None:
    for lane in lanes:
        if lane.height >= 48:
            _write(draw, (lane.left - 8, lane.top + 3), f"{scale:g}", "rt", FAINT)
        if lane.height >= 14:
            _write(draw, (lane.left - 8, (lane.top + lane.bottom) / 2), "0", "rm", FAINT)


def _frequencies(draw: "ImageDraw", mel: Box, rate: int) -> None:
    """Where melscale_fbanks puts them: mel = 2595 log10(1 + f / 700)."""
    last = float("inf")
    for hertz in (f for f in TICKS if f <= rate / 2):
        y = mel.bottom - mel.height * log10(1 + hertz / 700) / log10(1 + rate / 2 / 700)
        if last - y >= 20 and y - mel.top >= 4:
            draw.line((mel.left - 5, y, mel.left - 1, y), fill=FAINT)
            unit = " Hz" if last == float("inf") else ""
            text = f"{hertz // 1000} k" if hertz >= 1000 else f"{hertz}{unit}"
            _write(draw, (mel.left - 8, y), text, "rm", FAINT)
            last = y


def _decibels(draw: "ImageDraw", bar: Box, loudest: float) -> None:
    first = int(np.floor((loudest - 1) / 20)) * 20  # not at the very edge
    for level in range(first, first - RANGE, -20):
        y = bar.top + (loudest - level) / RANGE * bar.height
        if bar.top + 4 <= y <= bar.bottom - 4:
            draw.line((bar.right, y, bar.right + 3, y), fill=FAINT)
            _write(draw, (bar.right + 6, y), f"{level} dB" if level == first else f"{level}", "lm", FAINT)


def _times(draw: "ImageDraw", mel: Box, seconds: float) -> None:
    step = _step(seconds, mel.width // 80)
    for number in range(int(seconds / step + 1e-9) + 1):
        x = mel.left + number * step / seconds * mel.width
        draw.line((x, mel.bottom, x, mel.bottom + 4), fill=FAINT)
        _write(draw, (x, mel.bottom + 7), _clock(number * step, step), "mt", FAINT)


def _step(seconds: float, most: int) -> float:
    """The least round number of seconds of which at most `most` fit."""
    small = [m * 10.0**e for e in range(-6, 1) for m in (1, 2, 5)]
    large = [10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18_000, 36_000, 86_400]
    return next((s for s in (*small, *large) if seconds / s <= most), seconds)


def _clock(seconds: float, step: float) -> str:
    if step < 15:
        return f"{seconds:.{max(0, ceil(-log10(step) - 1e-9))}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
