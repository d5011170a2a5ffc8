"""What an edit of a clip leaves alone and what it makes anew, in frames.

A canvas is the finished clip with what is known of it in its place. The model is shown a stretch of it, laid so that
what is kept ends or begins where a latent does; what was made is put into the canvas, and what is kept stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autoencoders.base import LatentSpec

FADE = 4  # frames over which what the autoencoder lost of a kept frame fades out of the new ones beside it
SEEN = 0.08  # of [-1, 1]: a difference that is seen

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """frames [3, F, H, W] in [-1, 1]: what is known, and a guess where nothing is; keep [1, F, H, W], or [1, F, 1, 1]
    for whole frames, in 0 .. 1: 1 where it stays; shown: (start, stop), the part that the model sees, whose ends may
    lie outside of the clip."""

    frames: Tensor
    keep: Tensor
    shown: Span

    @property
    def count(self) -> int:
        return self.frames.shape[1]

    @property
    def known(self) -> Tensor:
        """What the model sees [1, 3, M, H, W]; the first and the last frame are held outside of the clip."""
        return self.frames[None, :, self._places()]

    @property
    def stays(self) -> Tensor | None:
        """[1, 1, M, H, W]: 1 where it stays; None if all is made anew."""
        keep = self.keep[None, :, self._places()]
        return keep.expand(-1, -1, -1, *self.frames.shape[2:]) if bool(keep.any()) else None

    @property
    def whole(self) -> Tensor:
        """Which frames stay as they are, all of each: bool [F]."""
        return (self.keep == 1).flatten(2).all(2)[0]

    def stray(self, spec: LatentSpec) -> Tensor | None:
        """Frames that stay although their latent does not, since another of its frames is made anew: [1, 1, M, 1, 1] of
        0 and 1; None if there are none."""
        whole = self.whole[self._places()]
        edges = [spec.covered(0, n) for n in range(spec.grid((len(whole), *self.frames.shape[2:]))[0] + 1)]
        groups = [whole[first:last] for first, last in pairwise(edges)]
        alone = torch.cat([group & ~group.all() for group in groups])
        return alone.float()[None, None, :, None, None] if bool(alone.any()) else None

    def joined(self, made: Tensor) -> Tensor:
        """The canvas with what was made of the shown part [3, M, H, W] in it.

        What the autoencoder lost of a kept frame is added to the new frames beside it where nothing moved, less and
        less over `FADE` frames: what shows nothing new looks like its neighbour, and sharpness does not jump."""
        first, last = max(self.shown[0], 0), min(self.shown[1], self.count)
        inside = slice(first, last)
        made = made[:, first - self.shown[0] : last - self.shown[0]]
        old, keep = self.frames[:, inside], self.keep[:, inside]
        made = made + lost(made, old, self.whole[inside])
        out = self.frames.clone()
        out[:, inside] = torch.lerp(made, old, keep.expand(-1, -1, *old.shape[2:]))
        return out

    def _places(self) -> Tensor:
        return torch.arange(*self.shown).clamp(0, self.count - 1)


def lost(made: Tensor, old: Tensor, whole: Tensor) -> Tensor:
    """What decoding lost of the frames that are `whole` (bool [F]): old - made [3, F, H, W] there, fading out over
    their neighbours where these look as the frame itself does when decoded: what has moved on leaves no ghost."""
    anchors, rest = whole.nonzero()[:, 0].tolist(), old - made
    out = torch.zeros_like(rest)
    for place in range(len(whole)):
        before = [a for a in anchors if a <= place][-1:]
        near = before + [a for a in anchors if a > place][:1]
        shares = [max(0.0, 1 - abs(a - place) / FADE) for a in near]
        for anchor, share in zip(near, shares, strict=True):
            if share:
                out[:, place] += (
                    rest[:, anchor] * same(made[:, place], made[:, anchor]) * (share / max(1.0, sum(shares)))
                )
    return out


def same(one: Tensor, other: Tensor) -> Tensor:
    """Where two frames [3, H, W] look the same: 1 to 0 [1, H, W], by the mean square of what differs around a pixel."""
    apart = F.avg_pool2d((one - other).square().mean(0, keepdim=True), 5, 1, 2, count_include_pad=False)
    return torch.exp(-apart / (2 * SEEN**2))


def placed(frames: Tensor, at: Sequence[int], count: int, *, blended: bool = False) -> tuple[Tensor, Tensor]:
    """Frames [3, N, H, W] at their places in `count` -> (frames [3, count, H, W], keep [1, count, 1, 1]).

    Elsewhere the nearest one is held (the earlier of two as near) or, if blended, two neighbours are mixed by place."""
    keep = torch.zeros(1, count, 1, 1)
    keep[:, list(at)] = 1
    places, known = torch.arange(count, dtype=torch.float64), torch.tensor(at, dtype=torch.float64)
    after = torch.searchsorted(known, places).clamp(max=len(at) - 1)
    before = (after - 1).clamp(min=0)
    share = ((places - known[before]) / (known[after] - known[before]).clamp(min=1)).clamp(0, 1)
    if not blended:
        share = (share > 0.5).double()
    share = torch.where(known[after] == places, 1.0, share).to(frames.dtype)[None, :, None, None]
    return torch.lerp(frames[:, before], frames[:, after], share), keep


def canvas(frames: Tensor, keep: Tensor, spec: LatentSpec, window: int) -> Canvas:
    """The canvas whose model sees all that is made anew, with kept frames around it, a window in all; half a window of
    them for what is longer."""
    whole = Canvas(frames=frames, keep=keep, shown=(0, frames.shape[1])).whole
    return Canvas(frames=frames, keep=keep, shown=shown(whole, spec, window))


def shown(whole: Tensor, spec: LatentSpec, window: int) -> Span:
    """(start, stop) of what the model sees: the frames that are not `whole` (bool [F]) and some around them.

    Where the first of the frames to keep meets one to make, a latent ends too. The start may lie before the clip and
    the stop behind it: what is made there is cut off."""
    count, stride = len(whole), spec.stride[0]
    free = (~whole).nonzero()[:, 0]
    begin, end = (0, 0) if len(free) == 0 else (int(free[0]), int(free[-1]) + 1)
    room = max(window - (end - begin), window // 2)
    after = min(room - room // 2, count - end)
    before = min(room - after, begin)
    start = begin - before
    kept = whole.nonzero()[:, 0]
    border = begin if begin else int(kept[0]) if len(kept) else 0
    off = (border - start - spec.covered(0, 1)) % stride if border else 0
    if off:  # some frames are not shown or, where they would be few, the first one is held before them
        start += off if begin - start - off > stride else off - stride
    return start, start + covering(spec, min(end + after, count) - start)


def covering(spec: LatentSpec, count: int) -> int:
    """The least number of frames, `count` or more, that latents stand for exactly."""
    latents = max(1, -(-(count - spec.covered(0, 1)) // spec.stride[0]) + 1)
    return spec.covered(0, latents)
