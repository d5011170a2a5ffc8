"""Drift: how far a long clip has moved from its beginning, in colour and in sharpness, over time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BARS = "▁▂▃▄▅▆▇█"
WIDEST = 60  # places of a plotted curve


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a stretch of frames looks like. colour: its mean (red, green, blue) in 0..255; sharpness: the mean absolute
    difference of neighbouring pixels in 0..255; change: that of successive frames."""

    colour: tuple[float, float, float]
    sharpness: float
    change: float


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A stretch that begins at `second` beside the first one. colour: how far its mean colour is away, in 0..255 (root
    mean square of the channels); sharpness, change: those of the stretch, as shares of the first one's."""

    second: float
    colour: float
    sharpness: float
    change: float


def look(frames: np.ndarray) -> Look:
    """frames uint8 [F, H, W, 3], of 2 pixels a side or more."""
    x = frames.astype(np.float32)
    across, down = np.abs(np.diff(x, axis=2)).mean(), np.abs(np.diff(x, axis=1)).mean()
    change = float(np.abs(np.diff(x, axis=0)).mean()) if len(x) > 1 else 0.0
    red, green, blue = x.mean((0, 1, 2)).tolist()
    return Look(colour=(red, green, blue), sharpness=float(across + down) / 2, change=change)


def drift(first: Look, now: Look, second: float) -> Drift:
    """How far `now`, at `second`, is from `first`. Where the first shows nothing, an equal share of it is 1."""
    apart = np.sqrt(np.mean(np.square(np.subtract(now.colour, first.colour))))
    shares = {name: _share(getattr(now, name), getattr(first, name)) for name in ("sharpness", "change")}
    return Drift(second=second, colour=float(apart), **shares)


def _share(now: float, first: float) -> float:
    return 1.0 if now == first else now / max(first, 1e-6)


def curve(frames: np.ndarray, rate: float, seconds: float = 1.0) -> list[Drift]:
    """The drift of a clip uint8 [F, H, W, 3], stretch after stretch of so many seconds; the first is the beginning."""
    count = max(round(seconds * rate), 1)
    begins = range(0, max(len(frames) - count, 0) + 1, count)
    looks = [look(frames[begin : begin + count]) for begin in begins]
    return [drift(looks[0], now, begin / rate) for now, begin in zip(looks, begins, strict=True)]


def plotted(points: Sequence[Drift]) -> str:
    """The curves as text, a line each with its range and last value; ValueError if there are none."""
    if not points:
        raise ValueError("there is no drift to plot: the clip has no stretch")
    named = [("colour", "of 255"), ("sharpness", "of the first"), ("change", "of the first")]
    return "\n".join(_line(name, unit, [getattr(point, name) for point in points]) for name, unit in named)


def _line(name: str, unit: str, values: Sequence[float]) -> str:
    picked = [values[i * len(values) // min(len(values), WIDEST)] for i in range(min(len(values), WIDEST))]
    low, high = min(values), max(values)
    levels = [round((value - low) / max(high - low, 1e-9) * (len(BARS) - 1)) for value in picked]
    bars = "".join(BARS[level] for level in levels)
    return f"{name:<10}{bars}  {low:.2f} to {high:.2f}, at the end {values[-1]:.2f} {unit}"
