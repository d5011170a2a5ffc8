"""What an edit of a sound leaves alone and what it makes anew, in samples; loops and timelines of any length."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FADE = 0.02  # seconds in which the new sound takes over from the old one

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """samples [C, N]: a clip in its place, and its mirror image where there is nothing yet; holes: (start, stop), what
    is made anew; shown: the part that the model sees."""

    samples: Tensor
    holes: tuple[Span, ...]
    shown: Span

    def known(self, multiple: int) -> Tensor:
        """What the model sees [1, C, M], with silence at the end up to a multiple."""
        first, last = self.shown
        return F.pad(self.samples[None, :, first:last], (0, -(last - first) % multiple))

    def keep(self, multiple: int) -> Tensor | None:
        """[1, 1, M]: 1 where the sound stays, 0 in the holes; None if all is made anew."""
        if self.holes == ((0, self.samples.shape[1]),):
            return None
        keep = torch.ones(1, 1, self.samples.shape[1])
        for start, stop in self.holes:
            keep[..., start:stop] = 0
        first, last = self.shown
        return F.pad(keep[..., first:last], (0, -(last - first) % multiple), mode="replicate")

    def joined(self, made: Tensor, rate: int) -> Tensor:
        """The canvas with what was made of the shown part [C, M or more] in its holes.

        Each sample outside of them stays as it is. The old sound (or its mirror image) goes over into the new one
        within the first and the last 20 ms of a hole, so that there is no click."""
        out = self.samples.clone()
        for start, stop in self.holes:
            new = made[:, start - self.shown[0] : stop - self.shown[0]]
            out[:, start:stop] = torch.lerp(out[:, start:stop], new, self._shares(start, stop, rate))
        return out

    def _shares(self, start: int, stop: int, rate: int) -> Tensor:
        """How much of a hole [stop - start] is new: 1, but for half a cosine at the ends that border on old sound."""
        length = max(min(round(FADE * rate), (stop - start) // 2), 1)
        rise = (1 - torch.cos(torch.pi * (torch.arange(length) + 0.5) / length)) / 2
        share = torch.ones(stop - start)
        if start > 0:
            share[:length] *= rise
        if stop < self.samples.shape[1]:
            share[-length:] *= rise.flip(0)
        return share


def canvas(
    clip: np.ndarray, window: int, multiple: int, *, left: int = 0, right: int = 0, hole: Span | None = None
) -> Canvas:
    """A clip [C, N] with room of so many samples at its ends, or a hole in it, or, with neither, all of it to be made
    anew. The model is shown a hole with sound around it, a window in all; half a window more for longer holes."""
    padded = np.pad(clip, ((0, 0), (left, right)), mode="symmetric")
    count = padded.shape[1]
    ends = [span for span in ((0, left), (count - right, count)) if span[1] > span[0]]
    holes = (hole,) if hole else tuple(ends) or ((0, count),)
    start, length = holes[0][0], holes[-1][1] - holes[0][0]
    room = max(window - length, window // 2)
    whole = -(-(length + room) // multiple) * multiple
    first = max(min(start - room // 2, count - whole), 0)
    return Canvas(samples=torch.from_numpy(padded), holes=holes, shown=(first, min(first + whole, count)))


def round_resampled(x: Tensor, count: int) -> Tensor:
    """A loop [C, N] with another number of samples: its Fourier series evaluated at `count` places, without a seam."""
    have = x.shape[1]
    if have == count:
        return x
    spectrum = torch.fft.rfft(x)
    if count > have and have % 2 == 0:
        spectrum[:, -1] /= 2  # the highest tone stood for two frequencies
    return torch.fft.irfft(spectrum, n=count) * (count / have)


def told(total: float | None, begin: float, length: float, longest: float) -> tuple[float, float]:
    """(seconds, start) that a model is told of a stretch of `length` seconds at `begin` of a piece of `total`.

    A piece longer than the model knows is told as its longest one, with the places in it to scale; one without an end
    (None) as that too, of which it comes to the middle and stays there."""
    if total is None:
        return longest, min(begin, max(longest - length, 0.0) / 2)
    if total <= longest:
        return total, begin
    return longest, begin * max(longest - length, 0.0) / max(total - length, 1e-9)
