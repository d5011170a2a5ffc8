"""The scene reader: a small network that says what is in a picture of the scenes world, and where.

It judges generated pictures by questions whose answers are known: which objects, in which colour, how many, in which
order, on what background, in what style. Objects, colours and places are read from a map of 8x8 cells, so that "a cat
left of a pizza" is right only if a cat is seen left of a pizza.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor, nn

from .. import config
from ..nn.conv import Down, ResBlock, conv, fold
from ..nn.norm import ChannelNorm
from ..training import weights

SHIPPED = Path(__file__).parents[1] / "weights" / "reader-scenes" / "reader.safetensors"


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """The words of the world, which are the outputs of the heads, and the sizes of the network.

    size: pixels a side that the network sees; widths and blocks: channels and residual blocks at size/4 and at size/8.
    """

    labels: tuple[str, ...]
    colours: tuple[str, ...]
    backgrounds: tuple[str, ...]
    styles: tuple[str, ...]
    counts: int = 4
    size: int = 64
    widths: tuple[int, ...] = (64, 160)
    blocks: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Raw outputs for B pictures: cells [B, 1 + labels, h, w] (class 0 is no object), colours [B, colours, h, w],
    count [B, counts], background and style [B, names] as logits; features [B, F] for the Frechet distance."""

    cells: Tensor
    colours: Tensor
    count: Tensor
    background: Tensor
    style: Tensor
    features: Tensor


class Reader(nn.Module):
    """Pictures of any size, [B, 3, H, W] in [-1, 1] -> `Seen`."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.widths
        self.embed = conv(2, 48, first)
        self.fine = nn.Sequential(*[ResBlock(2, first) for _ in range(config.blocks[0])])
        self.down = Down(first, second, (2, 2))
        self.coarse = nn.Sequential(*[ResBlock(2, second) for _ in range(config.blocks[1])])
        self.norm = ChannelNorm(second)
        self.cells_head = nn.Conv2d(second, 1 + len(config.labels), 1)
        self.colours_head = nn.Conv2d(second, len(config.colours), 1)
        self.hidden = nn.Linear(2 * second, second)
        self.sizes = (config.counts, len(config.backgrounds), len(config.styles))
        self.scene_head = nn.Linear(second, sum(self.sizes))

    def forward(self, x: Tensor) -> Seen:
        x = self.embed(fold(fit(x, self.config.size), (4, 4)))
        h = F.silu(self.norm(self.coarse(self.down(self.fine(x)))))
        pooled = torch.cat([reduce(h, "b c i j -> b c", "mean"), reduce(h, "b c i j -> b c", "max")], dim=1)
        count, background, style = self.scene_head(F.silu(self.hidden(pooled))).split(self.sizes, dim=1)
        heads = {"cells": self.cells_head(h), "colours": self.colours_head(h)}
        return Seen(**heads, count=count, background=background, style=style, features=pooled)


def fit(x: Tensor, size: int) -> Tensor:
    """[B, 3, H, W] -> [B, 3, size, size]: the mean over blocks where the size divides, else antialiased bilinear."""
    height, width = x.shape[-2:]
    if (height, width) == (size, size):
        return x
    if height % size == 0 and width % size == 0:
        return reduce(x, "b c (i p) (j q) -> b c i j", "mean", i=size, j=size)
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one picture shows. labels: the most evident first, as many as were asked for; shares: their shares of all
    evidence for objects; centres: (x, y) in 0..1; colours: of each label; count: objects in all."""

    labels: tuple[str, ...]
    shares: tuple[float, ...]
    centres: tuple[tuple[float, float], ...]
    colours: tuple[str, ...]
    count: int
    background: str
    style: str

    def relation(self, subject: str, other: str) -> str | None:
        """Where `subject` is seen from `other`: "left of", "right of", "above" or "below", along the axis on which
        their centres are farther apart; None unless both labels are seen."""
        if subject not in self.labels or other not in self.labels:
            return None
        (x, y), (u, v) = (self.centres[self.labels.index(name)] for name in (subject, other))
        if abs(x - u) > abs(y - v):
            return "left of" if x < u else "right of"
        return "above" if y < v else "below"


def evidence(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, 1 + L, h, w] -> probabilities [B, L, h, w] without the empty class, and each label's share [B, L]."""
    p = cells.float().softmax(dim=1)[:, 1:]
    total = reduce(p, "b l i j -> b l", "sum")
    return p, total / total.sum(dim=1, keepdim=True).clamp_min(1e-6)


def centres(p: Tensor) -> Tensor:
    """Maps [B, K, h, w] -> their centres of mass [B, K, 2], (x, y) in 0..1."""
    height, width = p.shape[-2:]
    ys, xs = ((torch.arange(n, device=p.device) + 0.5) / n for n in (height, width))
    mass = reduce(p, "b k i j -> b k", "sum").clamp_min(1e-9)
    return torch.stack([(p * xs).sum((2, 3)) / mass, (p * ys[:, None]).sum((2, 3)) / mass], dim=-1)


@torch.no_grad()
def read(reader: Reader, pictures: Tensor, kinds: int = 2) -> list[Reading]:
    """Pictures [B, 3, H, W] in [-1, 1] -> one `Reading` each, with the `kinds` most evident labels."""
    names, seen = reader.config, reader(pictures)
    p, shares = evidence(seen.cells)
    top, order = shares.topk(kinds, dim=1)
    maps = p.gather(1, order[:, :, None, None].expand(-1, -1, *p.shape[2:]))
    colours = torch.einsum("bkij,bcij->bkc", maps, seen.colours.float()).argmax(-1)
    where = centres(maps).tolist()
    rest = {k: getattr(seen, k).argmax(1).tolist() for k in ("count", "background", "style")}
    return [
        Reading(
            labels=tuple(names.labels[k] for k in order[i].tolist()),
            shares=tuple(top[i].tolist()),
            centres=tuple((x, y) for x, y in where[i]),
            colours=tuple(names.colours[k] for k in colours[i].tolist()),
            count=rest["count"][i] + 1,
            background=names.backgrounds[rest["background"][i]],
            style=names.styles[rest["style"][i]],
        )
        for i in range(len(pictures))
    ]


def load(file: str | Path = SHIPPED) -> Reader:
    """The reader that ships with the package, or one that was trained; ValueError for a missing or broken file."""
    tensors, about = weights.load(file)
    if about.get("kind") != "scene_reader":
        raise ValueError(f"{file} holds a {about.get('kind')!r}, not a scene_reader")
    with torch.device("meta"):
        reader = Reader(config.build(ReaderConfig, about["config"]))
    weights.fit(reader, tensors, file)
    return reader.eval().requires_grad_(False)
