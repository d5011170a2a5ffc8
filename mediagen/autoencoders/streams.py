"""Clips of any length through a causal autoencoder while they arrive, in memory that does not grow with them.

The generators take blocks of frames or latents from any source (a file, a camera, a sampler) and give back exactly what
the whole clip would be coded to. Nothing waits for what comes later; of what came before, as many latents as are still
felt are coded again with each tile, which costs reach / tile of the time.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from .base import Autoencoder, each_axis
from .tiling import Scale, Span, decode_tiled, encode_tiled


def encode_frames(vae: Autoencoder, blocks: Iterable[Tensor], *, tile: int = 8, side: int = 64) -> Iterator[Tensor]:
    """Blocks of a clip [B, C, any, H, W] -> whitened latents [B, latent, tile, h, w], the last of them fewer.

    side: latents a side above which frames go in tiles. ValueError without blocks, and if the clip does not end after
    1 + a multiple of the stride of frames.
    """

    def encode(x: Tensor) -> Tensor:
        return encode_tiled(vae, x, tile=(tile + back, side, side))

    back = each_axis(vae.encoder_reach, vae.spec.dims)[0]
    return _streamed(encode, blocks, tile, back, Scale(axis=0, spec=vae.spec), Scale(axis=0))


def decode_frames(vae: Autoencoder, latents: Iterable[Tensor], *, tile: int = 8, side: int = 64) -> Iterator[Tensor]:
    """Blocks of whitened latents [B, latent, any, h, w] -> the frames [B, C, n, H, W] of `tile` of them, the last of
    them fewer; side as in `encode_frames`. ValueError without blocks."""

    def decode(z: Tensor) -> Tensor:
        return decode_tiled(vae, z, tile=(tile + back, side, side))

    back = each_axis(vae.reach, vae.spec.dims)[0]
    return _streamed(decode, latents, tile, back, Scale(axis=0), Scale(axis=0, spec=vae.spec))


def _streamed(
    f: Callable[[Tensor], Tensor], blocks: Iterable[Tensor], tile: int, back: int, enter: Scale, leave: Scale
) -> Iterator[Tensor]:
    """f on `back + tile` latent positions at a time; enter, leave: what these are in its input and result."""
    if tile < 1:
        raise ValueError(f"tile must be 1 or more, not {tile}")
    held, span = None, Span(start=0, stop=tile, first=0, last=tile)
    for block in blocks:
        held = block if held is None else torch.cat((held, block), dim=2)
        while held.shape[2] >= enter.covered(span.stop - span.start):
            yield _kept(f, held, span, enter, leave)
            held, span = _advanced(held, span, tile, back, enter)
    if held is None:
        raise ValueError("there is nothing to encode or decode: no block came")
    rest = max(n for n in range(span.stop - span.start) if enter.covered(n) <= held.shape[2])
    if enter.covered(rest) != held.shape[2]:
        count = held.shape[2] + enter.read(span).start
        raise ValueError(f"the clip ends after {count} frames; it must be 1 + a multiple of the autoencoder's stride")
    if (last := span.start + rest) > span.first:
        yield _kept(f, held, Span(start=span.start, stop=last, first=span.first, last=last), enter, leave)


def _kept(f: Callable[[Tensor], Tensor], held: Tensor, span: Span, enter: Scale, leave: Scale) -> Tensor:
    return f(held[:, :, : enter.covered(span.stop - span.start)])[:, :, leave.keep(span)]


def _advanced(held: Tensor, done: Span, tile: int, back: int, enter: Scale) -> tuple[Tensor, Span]:
    """Without what no later position feels, and the span that comes next."""
    start, stop = max(done.last - back, 0), done.last + tile
    span = Span(start=start, stop=stop, first=done.last, last=stop)
    dropped = enter.read(span).start - enter.read(done).start
    return held[:, :, dropped:].clone(), span
