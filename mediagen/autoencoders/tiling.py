"""One n-dimensional tiling for every autoencoder whose layers look at a bounded neighbourhood.

Each tile is computed with a margin of context on all sides, and only its inside is kept: with a margin of at least the
network's reach the result is the whole's, to float rounding (measured: within 1e-5 for media in [-1, 1]). What is held
in memory beside input and result depends on the tile alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from .base import Autoencoder


@dataclass(frozen=True, kw_only=True)
class Span:
    """Along one axis, in latent positions: `start` to `stop` is computed, `first` to `last` of it is kept."""

    start: int
    stop: int
    first: int
    last: int

    def read(self, scale: int) -> slice:
        """What is computed, out of the whole."""
        return slice(self.start * scale, self.stop * scale)

    def keep(self, scale: int) -> slice:
        """What is kept, out of what was computed."""
        return slice((self.first - self.start) * scale, (self.last - self.start) * scale)

    def write(self, scale: int) -> slice:
        """What is kept, as it lies in the whole."""
        return slice(self.first * scale, self.last * scale)


def decode_tiled(vae: Autoencoder, z: Tensor, *, tile: int = 64, margin: int | None = None) -> Tensor:
    """Whitened latents [B, C, *grid] -> media [B, C, *size], `tile` latent positions a side at a time.

    margin: latent positions of context; it defaults to the decoder's reach, with which tiles show no seam at all.
    """
    spans = _spans(z.shape[2:], tile, vae.reach if margin is None else margin)
    return _tiled(vae.decode, z, spans, (1,) * vae.spec.dims, vae.spec.stride)


def encode_tiled(vae: Autoencoder, x: Tensor, *, tile: int = 64, margin: int | None = None) -> Tensor:
    """Media [B, C, *size] -> whitened latents [B, C, *grid]; `tile` and `margin` in latent positions, as in
    `decode_tiled`. ValueError for a size off the stride.
    """
    spans = _spans(vae.spec.grid(x.shape[2:]), tile, vae.encoder_reach if margin is None else margin)
    return _tiled(vae.encode, x, spans, vae.spec.stride, (1,) * vae.spec.dims)


def _spans(grid: Sequence[int], tile: int, margin: int) -> list[list[Span]]:
    """The spans of each axis."""
    if tile < 1 or margin < 0:
        raise ValueError(f"tile must be 1 or more and margin 0 or more, not {tile} and {margin}")
    return [[_span(first, n, tile, margin) for first in range(0, n, tile)] for n in grid]


def _span(first: int, length: int, tile: int, margin: int) -> Span:
    last = min(first + tile, length)
    return Span(start=max(first - margin, 0), stop=min(last + margin, length), first=first, last=last)


def _tiled(
    f: Callable[[Tensor], Tensor], x: Tensor, spans: list[list[Span]], enter: Sequence[int], leave: Sequence[int]
) -> Tensor:
    """f on one box of spans after the other; `enter`, `leave`: elements of x and of the result a latent position."""
    size = [axis[-1].last * scale for axis, scale in zip(spans, leave, strict=True)]
    out: Tensor | None = None
    for box in product(*spans):
        part = f(x[..., *(span.read(scale) for span, scale in zip(box, enter, strict=True))])
        if out is None:
            out = part.new_empty(*part.shape[:2], *size)
        kept = [span.keep(scale) for span, scale in zip(box, leave, strict=True)]
        out[..., *(span.write(scale) for span, scale in zip(box, leave, strict=True))] = part[..., *kept]
    if out is None:
        raise ValueError(f"there is nothing to tile in a tensor of shape {tuple(x.shape)}")
    return out
