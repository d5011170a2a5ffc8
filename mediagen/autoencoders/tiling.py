"""One n-dimensional tiling for every autoencoder whose layers look at a bounded neighbourhood.

Each tile is computed with a margin of context on all sides, and only its inside is kept: with a margin of at least the
network's reach the result is the whole's, to float rounding (measured: within 1e-5 for media in [-1, 1]). What is held
in memory beside input and result depends on the tile alone.

Along causal time a tile needs no context from later, and what it reads begins like a clip: with one frame, which is the
last of those that its first latent stands for in the whole. That latent must be context, and the reach counts it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from .base import Autoencoder, LatentSpec, each_axis


@dataclass(frozen=True, kw_only=True)
class Span:
    """Along one axis, in latent positions: `start` to `stop` is computed, `first` to `last` of it is kept."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Spans along one axis -> slices of the media (where a spec is given) or of the latents themselves."""

    axis: int
    spec: LatentSpec | None = None

    def read(self, span: Span) -> slice:
        """What is computed, out of the whole."""
        return slice(self._begin(span), self._begin(span) + self.covered(span.stop - span.start))

    def keep(self, span: Span) -> slice:
        """What is kept, out of what was computed."""
        begin = self._begin(span)
        return slice(self.covered(span.first) - begin, self.covered(span.last) - begin)

    def write(self, span: Span) -> slice:
        """What is kept, as it lies in the whole."""
        return slice(self.covered(span.first), self.covered(span.last))

    def covered(self, count: int) -> int:
        """Elements of the first `count` latents."""
        return count if self.spec is None else self.spec.covered(self.axis, count)

    def _begin(self, span: Span) -> int:
        return span.start * (1 if self.spec is None else self.spec.stride[self.axis])


Tile = int | Sequence[int]


def decode_tiled(vae: Autoencoder, z: Tensor, *, tile: Tile = 64, margin: Tile | None = None) -> Tensor:
    """Whitened latents [B, C, *grid] -> media [B, C, *size], `tile` latent positions a side (or one for each axis) at a
    time.

    margin: latent positions of context; it defaults to the decoder's reach, with which tiles show no seam at all.
    """
    spans = _spans(vae.spec, z.shape[2:], tile, vae.reach if margin is None else margin)
    return _tiled(vae.decode, z, spans, _latents(vae.spec), _media(vae.spec))


def encode_tiled(vae: Autoencoder, x: Tensor, *, tile: Tile = 64, margin: Tile | None = None) -> Tensor:
    """Media [B, C, *size] -> whitened latents [B, C, *grid]; `tile` and `margin` in latent positions, as in
    `decode_tiled`. ValueError for a size off the stride.
    """
    spans = _spans(vae.spec, vae.spec.grid(x.shape[2:]), tile, vae.encoder_reach if margin is None else margin)
    return _tiled(vae.encode, x, spans, _media(vae.spec), _latents(vae.spec))


def _latents(spec: LatentSpec) -> list[Scale]:
    return [Scale(axis=axis) for axis in range(spec.dims)]


def _media(spec: LatentSpec) -> list[Scale]:
    return [Scale(axis=axis, spec=spec) for axis in range(spec.dims)]


def _spans(spec: LatentSpec, grid: Sequence[int], tile: Tile, margin: Tile) -> list[list[Span]]:
    """The spans of each axis."""
    tiles, margins = each_axis(tile, spec.dims), each_axis(margin, spec.dims)
    if min(tiles) < 1 or min(margins) < 0:
        raise ValueError(f"tile must be 1 or more and margin 0 or more, not {tile} and {margin}")
    after = (0, *margins[1:]) if spec.causal else margins
    return [
        [_span(first, n, t, before, behind) for first in range(0, n, t)]
        for n, t, before, behind in zip(grid, tiles, margins, after, strict=True)
    ]


def _span(first: int, length: int, tile: int, before: int, after: int) -> Span:
    last = min(first + tile, length)
    return Span(start=max(first - before, 0), stop=min(last + after, length), first=first, last=last)


def _tiled(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    spans: list[list[Span]],
    enter: Sequence[Scale],
    leave: Sequence[Scale],
) -> Tensor:
    """f on one box of spans after the other; `enter`, `leave`: what a span is in x and in the result."""
    size = [scale.covered(axis[-1].last) for axis, scale in zip(spans, leave, strict=True)]
    out: Tensor | None = None
    for box in product(*spans):
        part = f(x[..., *(scale.read(span) for span, scale in zip(box, enter, strict=True))])
        if out is None:
            out = part.new_empty(*part.shape[:2], *size)
        kept = [scale.keep(span) for span, scale in zip(box, leave, strict=True)]
        out[..., *(scale.write(span) for span, scale in zip(box, leave, strict=True))] = part[..., *kept]
    if out is None:
        raise ValueError(f"there is nothing to tile in a tensor of shape {tuple(x.shape)}")
    return out
