"""Which inputs an output feels: intervals followed from a layer's output back to its input, exactly.

Chunks computed with a margin of this size are the whole's. Each method takes what an interval of outputs is and
returns the interval of inputs that it depends on, both ends included.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """Positions first..last of a grid, both included."""

    first: int
    last: int

    def widened(self, by: int) -> Interval:
        """Through convolutions that look `by` positions to both sides."""
        return Interval(self.first - by, self.last + by)

    def earlier(self, by: int) -> Interval:
        """Through causal convolutions over time that look `by` moments back."""
        return Interval(self.first - by, self.last)

    def coarser(self, factor: int) -> Interval:
        """Out of a grid that is `factor` times finer than the one that it is made from."""
        return Interval(self.first // factor, self.last // factor)

    def finer(self, factor: int) -> Interval:
        """Into a grid that is `factor` times finer."""
        return Interval(self.first * factor, self.last * factor + factor - 1)

    def framed(self, n_fft: int, hop: int) -> Interval:
        """The samples that frames are cut from (`nn.stft`)."""
        return self.finer(hop).widened((n_fft - hop) // 2)

    def overlapped(self, n_fft: int, hop: int) -> Interval:
        """The frames that samples are overlapped from."""
        return self.widened((n_fft - hop) // 2).coarser(hop)

    @property
    def reach(self) -> int:
        """How far it reaches beyond position 0."""
        return max(-self.first, self.last)
