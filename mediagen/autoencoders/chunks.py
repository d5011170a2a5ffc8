"""Sound of any length through an autoencoder, block by block, in memory that does not grow with it.

The generators take blocks of any lengths from any source (a file, a sound card, a sampler) and give back, as soon as
they can, exactly the chunks that `tiling` would compute from the whole.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Autoencoder


def encode_blocks(vae: Autoencoder, blocks: Iterable[Tensor], *, tile: int = 64) -> Iterator[Tensor]:
    """Blocks of media [B, C, any] -> whitened latents [B, channels, tile], the last of them shorter.

    An end that is off the stride is filled up with silence. ValueError if there is no media at all.
    """
    return _chunks(vae.encode, whole_strides(blocks, vae.spec.stride[-1]), tile, vae.encoder_reach, vae.spec.stride[-1])


def decode_blocks(vae: Autoencoder, latents: Iterable[Tensor], *, tile: int = 64) -> Iterator[Tensor]:
    """Blocks of whitened latents [B, channels, any] -> media [B, C, tile * stride], the last of them shorter."""
    return _chunks(vae.decode, latents, tile, vae.reach, 1, vae.spec.stride[-1])


def whole_strides(blocks: Iterable[Tensor], stride: int) -> Iterator[Tensor]:
    """The same blocks, and at the end as much silence as makes the whole a multiple of the stride."""
    total, block = 0, None
    for block in blocks:
        total += block.shape[-1]
        yield block
    if block is not None and total % stride:
        yield block.new_zeros(*block.shape[:-1], stride - total % stride)


def padded(media: Tensor, stride: int) -> Tensor:
    """Media [B, C, T] with silence at its end, up to a multiple of the stride."""
    return F.pad(media, (0, -media.shape[-1] % stride))


def _chunks(
    f: Callable[[Tensor], Tensor], blocks: Iterable[Tensor], tile: int, margin: int, enter: int, leave: int = 1
) -> Iterator[Tensor]:
    """f on windows of `margin + tile + margin` positions; enter, leave: elements a position of its input and result."""
    if tile < 1:
        raise ValueError(f"tile must be 1 or more, not {tile}")
    held, context = None, 0  # what is still needed, and how many of its positions have been answered before
    for block in blocks:
        held = block if held is None else torch.cat((held, block), dim=-1)
        while held.shape[-1] >= (context + tile + margin) * enter:
            yield _inner(f, held[..., : (context + tile + margin) * enter], context, tile, leave)
            held, context = _advanced(held, context + tile, margin, enter)
    if held is None:
        raise ValueError("there is nothing to encode or decode: no block came")
    while (rest := held.shape[-1] // enter - context) > 0:
        count = min(tile, rest)
        yield _inner(f, held[..., : (context + count + margin) * enter], context, count, leave)
        held, context = _advanced(held, context + count, margin, enter)


def _inner(f: Callable[[Tensor], Tensor], window: Tensor, context: int, count: int, leave: int) -> Tensor:
    return f(window)[..., context * leave : (context + count) * leave]


def _advanced(held: Tensor, done: int, margin: int, enter: int) -> tuple[Tensor, int]:
    """Without what no later position feels; and how many of the first positions are done already."""
    dropped = max(done - margin, 0)
    return held[..., dropped * enter :].clone(), done - dropped
