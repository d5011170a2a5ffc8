"""Long form by continuation: the next window is inpainted onto the last one's tail, so a piece needs no end.

It knows of latents and one axis of time only: sound goes along the last axis, video along its first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """A stretch that is made in one walk. number: 0, 1 ...; begin, length: its place in the whole, in latent positions;
    known: its first positions, which are there already, None for the first window."""

    number: int
    begin: int
    length: int
    known: Tensor | None

    def overlap(self, axis: int) -> int:
        """How many positions of it are known."""
        return 0 if self.known is None else self.known.shape[axis]


def rollout(
    make: Callable[[Window], Tensor], *, size: int, overlap: int, total: int | None = None, axis: int = -1
) -> Iterator[Tensor]:
    """Latents that continue one another along `axis`, window after window; all of them in one are the whole.

    make: a window -> its latents, of which the known ones come first and are left as they are. size: positions of a
    window; overlap: how many of them the next one is shown. total: of the whole, None for no end; the last window is
    moved back to be as long as the others. Memory does not grow. ValueError unless 0 <= overlap < size.
    """
    past, last, done = None, 0, 0
    for number, (begin, length) in enumerate(spans(size=size, overlap=overlap, total=total)):
        known = past.narrow(axis, begin - last, done - begin) if past is not None and done > begin else None
        past = make(Window(number=number, begin=begin, length=length, known=known))
        yield past.narrow(axis, done - begin, begin + length - done)
        last, done = begin, begin + length


def spans(*, size: int, overlap: int, total: int | None = None) -> Iterator[tuple[int, int]]:
    """(begin, length) of the windows that `rollout` makes."""
    if not 0 <= overlap < size:
        raise ValueError(f"windows of {size} allow an overlap of 0 .. {size - 1}, not {overlap}")
    length, done = size if total is None else min(size, total), 0
    while total is None or done < total:
        begin = max(done - overlap, 0)
        begin = begin if total is None else min(begin, total - length)
        yield begin, length
        done = begin + length
