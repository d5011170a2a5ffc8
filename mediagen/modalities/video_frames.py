"""Frames one after another: at another rate, at another size, in blocks."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from .image import Image, flat

BLOCK = 1 << 24  # values of a block, about
MOST_SLACK = 0.002  # seconds: what the times in files may be rounded by (WebM counts in milliseconds)


def resampled(frames: Iterable[tuple[float, float, np.ndarray]], rate: float) -> Iterator[np.ndarray]:
    """(second it begins at, seconds it is shown, frame) -> the frames at an even rate: the one of time i / rate is the
    frame that begins nearest to it (of two as near, the earlier), for all i / rate before the end of the last."""
    slack, made = _slack(rate), 0
    last: tuple[float, float, np.ndarray] | None = None
    for begin, seconds, frame in frames:
        if last is not None:
            middle = (last[0] + begin) / 2
            while made <= middle * rate + slack:
                yield last[2]
                made += 1
        last = begin, seconds, frame
    if last is not None:
        for _ in range(made, ticks(last[0] + last[1], rate)):
            yield last[2]


def ticks(seconds: float, rate: float) -> int:
    """How many times i / rate lie before an end, at least the one at 0."""
    return max(1, math.ceil(seconds * rate - _slack(rate)))


def _slack(rate: float) -> float:
    """The tolerance in frames."""
    return min(MOST_SLACK * rate, 0.25)


def even(frames: Iterable[np.ndarray], rate: float) -> Iterator[tuple[float, float, np.ndarray]]:
    """Frames of an even rate with their times."""
    for number, frame in enumerate(frames):
        yield number / rate, 1 / rate, frame


def fitted(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W, 3], scaled to fill (width, height) and cut at the middle; equal sizes stay untouched."""
    from PIL import Image as Pil
    from PIL import ImageOps

    if frame.shape[1::-1] == tuple(size):
        return frame
    return np.array(ImageOps.fit(Pil.fromarray(frame), size, method=Pil.Resampling.LANCZOS))


def opaque(frame: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 4] -> [H, W, 3], laid on white."""
    return np.array(flat(Image(frame).pil()))


def in_blocks(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames [H, W, 3] -> blocks [n, H, W, 3] of some 16 MB."""
    waiting: list[np.ndarray] = []
    for frame in frames:
        waiting.append(frame)
        if len(waiting) * frame.size >= BLOCK:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)
