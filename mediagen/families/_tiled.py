"""Published autoencoders in tiles without a seam: what looks at all of a picture still does.

The middle of an AutoencoderKL (attention, and the norms around it) is small, and is run whole; what is around it goes
in tiles, in rounds for its norms (`_tiles`). Clips whose norms look at one position alone need none (`_tiled_clips`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from einops import rearrange
from torch import Tensor

from . import _tiled_clips as clips
from ._tiles import Stage, over_tiles, through

PICTURES = ("AutoencoderKL", "AutoencoderKLTemporalDecoder")  # whose norms look at all of a picture, or of a clip
LEVELS = 2  # of resolution that are tiled, the finest ones; a level further in a picture is a quarter of its size


def tiles(vae: Any) -> bool:
    """Whether it is an autoencoder that can go in tiles."""
    return clips.tiles(vae) or (type(vae).__name__ in PICTURES and len(vae.decoder.up_blocks) > 1)


def tiled(vae: Any, tile: int, reach: int = 0) -> None:
    """An autoencoder that goes in tiles of so many latents a side wherever it is given more: one of pictures in both
    directions, one of clips as it decodes. reach: latents that a decoder of clips looks away. ValueError for one that
    cannot go in tiles."""
    kind = type(vae).__name__
    if not tiles(vae):
        known = ", ".join((*PICTURES, *clips.CLIPS))
        raise ValueError(
            f"{kind} is not tiled: leave out tile; only {known} are, of two levels or more and without their own noise"
        )
    if kind in clips.CLIPS:
        vae.decode = clips.decoder(vae, tile, reach)
        return
    decoder = _frames_decoder if kind == "AutoencoderKLTemporalDecoder" else _decoder
    vae.decoder.forward, vae.encoder.forward = decoder(vae.decoder, tile), _encoder(vae.encoder, tile)


def _frames_decoder(net: Any, tile: int) -> Callable[..., Tensor]:
    """Of a clip's frames [B F, C, h, w], whose layers look along time as well, which is never cut."""

    def forward(z: Tensor, image_only_indicator: Tensor, num_frames: int = 1) -> Tensor:
        frames = _decoder(net, tile, image_only_indicator=image_only_indicator)(z)
        clips = rearrange(frames, "(b f) c h w -> b c f h w", f=num_frames)
        return rearrange(net.time_conv_out(clips), "b c f h w -> (b f) c h w")

    return forward


def _decoder(net: Any, tile: int, **told: Any) -> Callable[..., Tensor]:
    """Its coarse blocks whole; of the fine ones a stage each, from after a block's residual layers to after the next
    one's, so that no map of the finest level lies whole in memory but the result. told: what its blocks are told
    beside what they work on."""
    count = min(LEVELS, len(net.up_blocks) - 1)
    coarse, fine = net.up_blocks[:-count], net.up_blocks[-count:]
    head = [net.conv_in, *(partial(block, **told) for block in (net.mid_block, *coarse))]
    begin = math.prod(2 for block in coarse if block.upsamplers)
    stages: list[tuple[Stage, int]] = []
    before: list[Any] = []
    for block in fine:
        last = [net.conv_norm_out, net.conv_act, net.conv_out] if block is fine[-1] else []
        reach = 2 * len(block.resnets) + bool(last)
        stage = Stage(layers=[*before, *(_plain(one, **told) for one in block.resnets), *last], reach=reach)
        if before:
            stage = Stage(layers=stage.layers, reach=-(-(reach + 1) // 2), finer=2.0)
        stages.append((stage, begin))
        begin, before = begin * (2 if before else 1), list(block.upsamplers or ())

    def forward(z: Tensor, _: Any = None) -> Tensor:
        x, small = through(head, z), max(z.shape[2:]) <= tile
        for stage, finer in stages:
            x = through(stage.layers, x) if small else over_tiles(stage, x, tile * finer)
        return x

    return forward


def _encoder(net: Any, tile: int) -> Callable[..., Tensor]:
    """Of its fine blocks a stage each; the rest whole."""
    count = min(LEVELS, len(net.down_blocks) - 1)
    fine, coarse = net.down_blocks[:count], net.down_blocks[count:]
    tail = [*coarse, net.mid_block, net.conv_norm_out, net.conv_act, net.conv_out]
    stride = math.prod(2 for block in net.down_blocks if block.downsamplers)
    stages, finer = list[tuple[Stage, int]](), stride
    for block in fine:
        first = [net.conv_in] if block is fine[0] else []
        finer //= 2
        reach = 2 * len(block.resnets) + 2 + len(first)
        layers = [*first, *map(_plain, block.resnets), *block.downsamplers]
        stages.append((Stage(layers=layers, reach=-(-reach // 2), finer=0.5), finer))

    def forward(x: Tensor) -> Tensor:
        small = max(x.shape[2:]) <= tile * stride
        for stage, finer in stages:
            x = through(stage.layers, x) if small else over_tiles(stage, x, tile * finer)
        return through(tail, x)

    return forward


def _plain(block: Any, **told: Any) -> Callable[[Tensor], Tensor]:
    """A residual block, which would be told a time."""
    return lambda x: block(x, temb=None, **told)
