"""The motion reader: a small network that says what is in a clip of the motion world, where, and what it does.

It judges generated clips by questions whose answers are known. Things, colours and places are read from a few frames,
as the scene reader does it; the motion is read from all frames at half the size, by convolutions over space and over
time in turn (2+1 dimensions, arXiv:1711.11248).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from .. import config
from ..nn.conv import Down, ResBlock, conv, fold
from ..nn.norm import ChannelNorm
from ..training import weights
from .reader import Reader, ReaderConfig, evidence, fit

SHIPPED = Path(__file__).parents[1] / "weights" / "reader-motion" / "reader.safetensors"
NOWHERE = "none"  # the direction of what has none
FOLDED = (1, 4, 4)  # pixels that become channels at once
ROUND = ((1, 3, 3), (3, 1, 1))  # kernels of a round: over space, then over time


@dataclass(frozen=True, kw_only=True)
class MotionReaderConfig:
    """look: the words of the world and the sizes of what reads single frames; kinds, directions: the words for motions,
    "none" among the directions. frames: of a clip, 1 + 4k; looks: how many of them are read singly; side: pixels a
    side that the motion is read from, a multiple of 4; widths: channels at each, each second and each fourth frame."""

    look: ReaderConfig
    kinds: tuple[str, ...]
    directions: tuple[str, ...]
    frames: int = 17
    looks: int = 5
    side: int = 32
    widths: tuple[int, ...] = (48, 64, 96)
    hidden: int = 192

    def __post_init__(self) -> None:
        if len(self.widths) != 3 or self.frames % 4 != 1 or self.frames < 5:
            raise ValueError(f"widths {self.widths} must be three, and frames {self.frames} must be 5, 9, 13, 17 ...")
        if self.side % 4 or not 2 <= self.looks <= self.frames:
            raise ValueError(f"side {self.side} must be a multiple of 4, and looks {self.looks} 2 to {self.frames}")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Raw outputs for B clips: cells [B, looks, 1 + labels, h, w] (class 0 is no object), colours [B, looks, colours,
    h, w], background, style, kind and direction [B, names] as logits; features [B, F] for the Frechet distance."""

    cells: Tensor
    colours: Tensor
    background: Tensor
    style: Tensor
    kind: Tensor
    direction: Tensor
    features: Tensor


class MotionReader(nn.Module):
    """Clips [B, 3, F, H, W] in [-1, 1], of any size -> `Watched`."""

    def __init__(self, config: MotionReaderConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        self.look = Reader(config.look)
        self.embed = conv(3, 6 * FOLDED[1] * FOLDED[2], first, ROUND[0])
        self.watch = nn.Sequential(
            *_round(first),
            Down(first, second, (2, 1, 1), causal=True),
            *_round(second),
            Down(second, third, (2, 1, 1), causal=True),
            *_round(third),
        )
        self.norm = ChannelNorm(third)
        moments = 1 + (config.frames - 1) // 4
        self.hidden = nn.Linear(2 * third * moments, config.hidden)
        self.kind_head = nn.Linear(config.hidden, len(config.kinds))
        self.direction_head = nn.Linear(config.hidden, len(config.directions))

    def forward(self, x: Tensor) -> Watched:
        if x.ndim != 5 or x.shape[2] != self.config.frames:
            raise ValueError(f"clips are {list(x.shape)}; the reader sees [B, 3, {self.config.frames}, H, W]")
        frames = torch.linspace(0, self.config.frames - 1, self.config.looks).round().long()
        seen = self.look(rearrange(x[:, :, frames], "b c n h w -> (b n) c h w"))
        each = {k: getattr(seen, k).unflatten(0, (-1, len(frames))) for k in vars(seen)}
        motion = self._motion(x)
        return Watched(
            cells=each["cells"],
            colours=each["colours"],
            background=each["background"].mean(1),
            style=each["style"].mean(1),
            kind=self.kind_head(motion),
            direction=self.direction_head(motion),
            features=torch.cat([motion, each["features"].mean(1)], dim=1),
        )

    def _motion(self, x: Tensor) -> Tensor:
        """[B, 3, F, H, W] -> [B, hidden]; beside each frame, how it differs from the mean of all."""
        count = len(x)
        small = fit(rearrange(x, "b c f h w -> (b f) c h w"), self.config.side)
        small = rearrange(small, "(b f) c h w -> b c f h w", b=count)
        both = torch.cat([small, small - small.mean(dim=2, keepdim=True)], dim=1)
        h = F.silu(self.norm(self.watch(self.embed(fold(both, FOLDED)))))
        pooled = [reduce(h, "b c t i j -> b (c t)", how) for how in ("mean", "max")]
        return F.silu(self.hidden(torch.cat(pooled, dim=1)))


def _round(width: int) -> list[nn.Module]:
    return [ResBlock(3, width, kernel=kernel) for kernel in ROUND]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one clip shows. labels: the most evident first, over all frames, with their colours; first, last: the most
    evident label of the first and of the last frame."""

    labels: tuple[str, ...]
    colours: tuple[str, ...]
    first: str
    last: str
    background: str
    style: str
    kind: str
    direction: str


@torch.no_grad()
def watched(reader: MotionReader, clips: Tensor | Sequence[Tensor], batch: int = 16) -> Watched:
    """The outputs for clips [N, 3, F, H, W], or as many [3, F, H, W]; of longer ones the first frames are seen.

    ValueError for a clip that is too short."""
    x = torch.stack([_fitted(clip, reader.config.frames) for clip in clips])
    parts = [reader(part) for part in x.split(batch)]
    return Watched(**{k: torch.cat([getattr(part, k).float() for part in parts]) for k in vars(parts[0])})


def _fitted(clip: Tensor, frames: int) -> Tensor:
    if clip.ndim != 4 or clip.shape[0] != 3 or clip.shape[1] < frames:
        raise ValueError(f"a clip is {list(clip.shape)}; the reader needs [3, F, H, W] of {frames} frames or more")
    return clip[:, :frames].float()


def read(reader: MotionReader, clips: Tensor | Sequence[Tensor], kinds: int = 2) -> list[Reading]:
    """Clips as `watched` takes them -> one `Reading` each, with the `kinds` most evident labels."""
    names, seen = reader.config, watched(reader, clips)
    p, shares = evidence(rearrange(seen.cells, "b n l i j -> b l (n i) j"))
    order = shares.topk(kinds, dim=1).indices
    maps = p.gather(1, order[:, :, None, None].expand(-1, -1, *p.shape[2:]))
    shown = rearrange(seen.colours, "b n c i j -> b c (n i) j")
    colours = torch.einsum("bkij,bcij->bkc", maps, shown).argmax(-1)
    ends = [evidence(seen.cells[:, at])[1].argmax(1).tolist() for at in (0, -1)]
    rest = {k: getattr(seen, k).argmax(1).tolist() for k in ("background", "style", "kind", "direction")}
    return [
        Reading(
            labels=tuple(names.look.labels[k] for k in order[i].tolist()),
            colours=tuple(names.look.colours[k] for k in colours[i].tolist()),
            first=names.look.labels[ends[0][i]],
            last=names.look.labels[ends[1][i]],
            background=names.look.backgrounds[rest["background"][i]],
            style=names.look.styles[rest["style"][i]],
            kind=names.kinds[rest["kind"][i]],
            direction=names.directions[rest["direction"][i]],
        )
        for i in range(len(seen.kind))
    ]


def load(file: str | Path = SHIPPED) -> MotionReader:
    """The reader that ships with the package, or one that was trained; ValueError for a missing or broken file."""
    tensors, about = weights.load(file)
    if about.get("kind") != "motion_reader":
        raise ValueError(f"{file} holds a {about.get('kind')!r}, not a motion_reader")
    with torch.device("meta"):
        reader = MotionReader(config.build(MotionReaderConfig, about["config"]))
    weights.fit(reader, tensors, file)
    return reader.eval().requires_grad_(False)
