"""Autoencoders of clips, decoded in tiles of a frame without a seam.

Those named here look at all of a frame in their middle alone; after it come convolutions, and norms over the channels
of one position. So the middle is run whole, and then each tile is decoded, with as much around it as the convolutions
see, through all of the clip in the autoencoder's own way: Wan's frame after frame, with the cache that it keeps in
time. What comes out is the whole's, to rounding (1e-5 in float32). Others have group norms over all of a clip in every
layer, where this would take a round for each of them: HunyuanVideo 1.0, CogVideoX and Mochi are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor

from ._tiles import Enough, spans

CLIPS = ("AutoencoderKLWan", "AutoencoderKLLTXVideo", "AutoencoderKLLTX2Video", "AutoencoderKLHunyuanVideo15")
MIDDLE = 5  # latents that the convolutions of a decoder look away up to the end of its middle
UNMADE = 12  # channels of what is not decoded: a patch of 2 x 2 has as many


def tiles(vae: Any) -> bool:
    """Whether it is one of these, and draws no noise of its own as it decodes."""
    noisy = vae.config.get("decoder_inject_noise", False) if type(vae).__name__ in CLIPS else True
    return not (any(noisy) if isinstance(noisy, Sequence) else noisy)


def decoder(vae: Any, tile: int, reach: int) -> Callable[..., Any]:
    """`vae.decode` in tiles of so many latents a side: the middle whole, then each tile through all of the clip. reach:
    latents that the whole decoder looks away."""
    own, far = vae.decode, max(reach - MIDDLE, 1)

    def decode(z: Tensor, *told: Any, return_dict: bool = True, **options: Any) -> Any:
        def run(z: Tensor) -> Tensor:
            return own(z, *told, return_dict=False, **options)[0]

        if max(z.shape[3:]) <= tile:
            return own(z, *told, return_dict=return_dict, **options)
        made, middle = None, _middle(vae.decoder, run, z)
        for box in spans(z.shape[3:], tile, far):
            cut = (..., *(slice(span.start, span.stop) for span in box))
            with _replaced(vae.decoder.mid_block, _telling([each[cut] for each in middle])):
                part = run(z[cut])
            finer = part.shape[-1] // (box[-1].stop - box[-1].start)
            if made is None:
                made = part.new_empty(*part.shape[:3], *(side * finer for side in z.shape[3:]))
            kept = [span.inside(side) for span, side in zip(box, part.shape[3:], strict=True)]
            made[..., *(slice(span.first * finer, span.last * finer) for span in box)] = part[..., *kept]
        return _decoded(made) if return_dict else (made,)

    return decode


def _middle(net: Any, run: Callable[[Tensor], Tensor], z: Tensor) -> list[Tensor]:
    """What the middle gives each time that the decoder is called; nothing is decoded of it."""
    found: list[Tensor] = []
    middle, forward = net.mid_block.forward, net.forward

    def stop(*given: Any, **options: Any) -> Tensor:
        found.append(middle(*given, **options))
        raise Enough

    def head(*given: Any, **options: Any) -> Tensor:
        with suppress(Enough):
            forward(*given, **options)
        return found[-1].new_zeros(len(found[-1]), UNMADE, 1, 1, 1)

    with _replaced(net.mid_block, stop), _replaced(net, head):
        run(z)
    return found


def _telling(maps: Sequence[Tensor]) -> Callable[..., Tensor]:
    """In the place of a layer: what it gives, call by call."""
    left = iter(maps)
    return lambda *_, **__: next(left)


@contextmanager
def _replaced(layer: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """A layer that does something else meanwhile; hooks may have put their own there before."""
    before = vars(layer).get("forward")
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward
        if before is not None:
            layer.forward = before


def _decoded(sample: Any) -> Any:
    from diffusers.models.autoencoders.vae import DecoderOutput

    return DecoderOutput(sample=sample)
