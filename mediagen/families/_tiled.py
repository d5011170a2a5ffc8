"""Published autoencoders in tiles without a seam: what looks at all of a picture still does.

The middle of an AutoencoderKL (attention, and the norms around it) is small, and is run whole. Around it are
convolutions, which look a known way, and group norms, which look at the mean and the variance of the whole picture. So
the tiles are gone through once for each norm, up to it: its numbers are gathered from all tiles, and the next time
given to each of them. What comes out is the whole's, to rounding (1e-5 of media in [-1, 1] in float32), for about four
times its operations. Clips whose norms look at one position alone need no such rounds (`_tiled_clips`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.overrides import TorchFunctionMode

PICTURES = ("AutoencoderKL", "AutoencoderKLTemporalDecoder")  # whose norms look at all of a picture, or of a clip
LEVELS = 2  # of resolution that are tiled, the finest ones; a level further in a picture is a quarter of its size

Layers = Sequence[Callable[[Tensor], Tensor]]


@dataclass(frozen=True, kw_only=True)
class Span:
    """Along one axis: `start` to `stop` is computed, `first` to `last` of it is kept."""

    start: int
    stop: int
    first: int
    last: int

    def inside(self, count: int) -> slice:
        """What is kept of `count` positions that were made of it."""
        finer = count // (self.stop - self.start)
        return slice((self.first - self.start) * finer, (self.last - self.start) * finer)


@dataclass(kw_only=True)
class Moments:
    """Mean and variance [B, groups], gathered tile by tile (Chan's formula), of `count` numbers each."""

    count: float = 0.0
    mean: Any = 0.0
    square: Any = 0.0

    def add(self, part: Tensor) -> None:
        """part [B, groups, n]."""
        n = part.shape[-1]
        var, mean = torch.var_mean(part.float(), -1, correction=0)
        gap, total = mean.double() - self.mean, self.count + n
        self.square = self.square + var.double() * n + gap.square() * self.count * n / total
        self.mean, self.count = self.mean + gap * n / total, total


class Enough(Exception):
    """A tile has come to the norm whose numbers are not known yet."""


class _Norms(TorchFunctionMode):
    """Group norms of tiles, known by their order: those of `known` normalise; the next one's numbers are gathered."""

    def __init__(self, known: Sequence[Moments]) -> None:
        super().__init__()
        self.known, self.next, self.number = known, Moments(), 0
        self.box: Sequence[Span] = ()

    def begin(self, box: Sequence[Span]) -> None:
        self.number, self.box = 0, box

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (self.norm if func is F.group_norm else func)(*args, **(kwargs or {}))

    def norm(self, x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
        if self.number == len(self.known):
            sides = x.shape[-len(self.box) :]  # the last ones: before them lies time, of layers that look along it
            kept = x[..., *(span.inside(side) for span, side in zip(self.box, sides, strict=True))]
            self.next.add(kept.reshape(len(x), groups, -1))
            raise Enough
        moments, self.number = self.known[self.number], self.number + 1
        rate = (moments.square / moments.count + eps).rsqrt()
        each, shape = x.shape[1] // groups, (len(x), x.shape[1], *(1,) * (x.ndim - 2))
        scale, mean = (value.repeat_interleave(each, 1).view(shape).to(x) for value in (rate, moments.mean))
        scale = scale if weight is None else scale * weight.view(1, -1, *shape[2:])
        shift = -mean * scale if bias is None else bias.view(1, -1, *shape[2:]) - mean * scale
        return torch.addcmul(shift, x, scale)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Layers that are gone through in tiles, from a whole map to a whole map. reach: positions of the coarser of the
    two that they look away; finer: positions of the result for one of what they are given, or below 1."""

    layers: Layers
    reach: int
    finer: float = 1.0


def over_tiles(stage: Stage, x: Tensor, tile: int) -> Tensor:
    """The layers on x [B, C, H, W], in tiles of `tile` positions of the coarser side."""
    grid = [round(side * min(stage.finer, 1)) for side in x.shape[2:]]
    boxes, known = list(spans(grid, tile, stage.reach)), list[Moments]()
    while True:
        norms = _Norms(known)
        with norms:
            made = _pass(stage, x, boxes, norms)
        if made is not None:
            return made
        known.append(norms.next)


def _pass(stage: Stage, x: Tensor, boxes: Sequence[Sequence[Span]], norms: _Norms) -> Tensor | None:
    """All tiles once; None if they came to a norm that was not known."""
    enter, leave = round(max(1 / stage.finer, 1)), round(max(stage.finer, 1))
    made: Tensor | None = None
    for box in boxes:
        norms.begin(box)
        try:
            part = _through(stage.layers, x[..., *(slice(span.start * enter, span.stop * enter) for span in box)])
        except Enough:
            continue
        if made is None:
            made = part.new_empty(*part.shape[:2], *(span.last * leave for span in boxes[-1]))
        kept = [span.inside(side) for span, side in zip(box, part.shape[2:], strict=True)]
        made[..., *(slice(span.first * leave, span.last * leave) for span in box)] = part[..., *kept]
    return made


def _through(layers: Layers, x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def spans(grid: Sequence[int], tile: int, margin: int) -> Iterator[tuple[Span, ...]]:
    """The tiles of a grid, rows first, each with its margin."""
    if not grid:
        yield ()
        return
    for first in range(0, grid[0], tile):
        last = min(first + tile, grid[0])
        one = Span(start=max(first - margin, 0), stop=min(last + margin, grid[0]), first=first, last=last)
        yield from ((one, *others) for others in spans(grid[1:], tile, margin))


def tiles(vae: Any) -> bool:
    """Whether it is an autoencoder that can go in tiles."""
    from . import _tiled_clips as clips

    return clips.tiles(vae) or (type(vae).__name__ in PICTURES and len(vae.decoder.up_blocks) > 1)


def tiled(vae: Any, tile: int, reach: int = 0) -> None:
    """An autoencoder that goes in tiles of so many latents a side wherever it is given more: one of pictures in both
    directions, one of clips as it decodes. reach: latents that a decoder of clips looks away. ValueError for one that
    cannot go in tiles."""
    from . import _tiled_clips as clips

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
        x, small = _through(head, z), max(z.shape[2:]) <= tile
        for stage, finer in stages:
            x = _through(stage.layers, x) if small else over_tiles(stage, x, tile * finer)
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
            x = _through(stage.layers, x) if small else over_tiles(stage, x, tile * finer)
        return _through(tail, x)

    return forward


def _plain(block: Any, **told: Any) -> Callable[[Tensor], Tensor]:
    """A residual block, which would be told a time."""
    return lambda x: block(x, temb=None, **told)
