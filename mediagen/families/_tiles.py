"""Layers gone through in tiles: convolutions look a known way, group norms at the mean and the variance of all of it.

So the tiles are gone through once for each norm, up to it: its numbers are gathered from all tiles, and the next time
given to each of them. What comes out is the whole's, to rounding (1e-5 of media in [-1, 1] in float32), for about four
times its operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..autoencoders import tiling

Layers = Sequence[Callable[[Tensor], Tensor]]


class Span(tiling.Span):
    """One along an axis of layers' maps."""

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
            part = through(stage.layers, x[..., *(slice(span.start * enter, span.stop * enter) for span in box)])
        except Enough:
            continue
        if made is None:
            made = part.new_empty(*part.shape[:2], *(span.last * leave for span in boxes[-1]))
        kept = [span.inside(side) for span, side in zip(box, part.shape[2:], strict=True)]
        made[..., *(slice(span.first * leave, span.last * leave) for span in box)] = part[..., *kept]
    return made


def through(layers: Layers, x: Tensor) -> Tensor:
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
