"""Training the motion reader: truth of a built motion world -> targets, augmentation, loss, recipe.

The clips it will judge are generated: soft, a little noisy, a little off in brightness and place. So it is trained on
clips that were mirrored (what goes left goes right then), blurred, noised, brightened, zoomed and shifted.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from .. import config
from ..data.motion.clips import Clips
from ..training import weights
from ..training.trainer import Player, Progress, Schedule, train
from .motion_reader import NOWHERE, MotionReader, MotionReaderConfig, Watched
from .reader import Reader, ReaderConfig, evidence
from .reader import load as load_reader
from .reader_training import IGNORED, MOST, Augment, Truths, cell_targets

SEEN = 0.5  # how opaque a thing must be to be asked for
MIRRORED = {"left": "right", "right": "left", "clockwise": "counterclockwise", "counterclockwise": "clockwise"}


@dataclass(frozen=True, kw_only=True)
class MotionReaderRecipe:
    """data: a built motion world, whose words are added to the model when it is read. begin: whether the part that
    looks at single frames begins with the weights of the scene reader that ships, as far as its words are the same."""

    kind: str = "motion-reader"
    data: str
    batch: int = 32
    begin: bool = True
    look_widths: tuple[int, ...] = (64, 128)
    look_blocks: tuple[int, ...] = (1, 2)
    widths: tuple[int, ...] = (48, 64, 96)
    augment: Augment = field(default_factory=lambda: Augment(shift=0.04))
    schedule: Schedule


@dataclass(frozen=True, kw_only=True)
class Table:
    """Truth of N clips as arrays of indices; what is missing, or not asked, is -1. labels, colours [N, n, 4] and boxes
    [N, n, 4, 4] are those of the n frames that are read singly."""

    labels: np.ndarray
    colours: np.ndarray
    boxes: np.ndarray
    background: np.ndarray
    style: np.ndarray
    kind: np.ndarray
    direction: np.ndarray

    def take(self, chosen: np.ndarray) -> "Table":
        return Table(**{k: v[chosen] for k, v in vars(self).items()})


def heading(truth: dict[str, Any]) -> str | None:
    """The direction of what moves, or of the camera; of what turns, its sense; "none" where nothing has one; None for
    two things that each go their own way."""
    if truth["camera"]["kind"] != "still":
        return truth["camera"]["direction"]
    if truth["kind"] == "pair":
        return None
    motion = truth["objects"][-1]["motion"]
    return motion["direction"] or motion["sense"] or NOWHERE


def mirrored(direction: str) -> str:
    """What a direction is called in a mirror: "up and to the left" -> "up and to the right"."""
    head, _, last = direction.rpartition(" ")
    return f"{head} {MIRRORED.get(last, last)}".strip()


def words(truths: Sequence[dict[str, Any]], recipe: MotionReaderRecipe, size: int) -> MotionReaderConfig:
    """The words that occur in the truth, sorted: the outputs of a reader for this world. size: of its clips, pixels."""
    objects = [o for t in truths for o in t["objects"]]
    found = {d for t in truths if (d := heading(t))} - {NOWHERE}
    look = ReaderConfig(
        labels=tuple(sorted({o["label"] for o in objects})),
        colours=tuple(sorted({o["color"] for o in objects if o["color"]})),
        backgrounds=tuple(sorted({t["background"] for t in truths})),
        styles=tuple(sorted({t["style"] for t in truths})),
        size=min(size, 64),
        widths=recipe.look_widths,
        blocks=recipe.look_blocks,
    )
    return MotionReaderConfig(
        look=look,
        kinds=tuple(sorted({t["kind"] for t in truths})),
        directions=(NOWHERE, *sorted(found | {mirrored(d) for d in found})),
        frames=truths[0]["frames"],
        widths=recipe.widths,
    )


def tabulate(truths: Sequence[dict[str, Any]], names: MotionReaderConfig) -> Table:
    """Dictionaries of truth -> arrays of indices into the words of `names`."""
    look = names.look
    frames = np.linspace(0, names.frames - 1, names.looks).round().astype(int)
    labels, colours = (np.full((len(truths), names.looks, MOST), -1, np.int64) for _ in range(2))
    boxes = np.full((len(truths), names.looks, MOST, 4), -1.0, np.float32)
    for i, truth in enumerate(truths):
        for j, o in enumerate(truth["objects"][:MOST]):
            found = _boxes(o, frames)
            shown = (np.array(o["seen"])[frames] > SEEN) & _inside(found)
            labels[i, shown, j] = look.labels.index(o["label"])
            colours[i, shown, j] = look.colours.index(o["color"]) if o["color"] else -1
            boxes[i, :, j] = found
    directions = [heading(t) for t in truths]
    return Table(
        labels=labels,
        colours=colours,
        boxes=boxes,
        background=np.array([look.backgrounds.index(t["background"]) for t in truths]),
        style=np.array([look.styles.index(t["style"]) for t in truths]),
        kind=np.array([names.kinds.index(t["kind"]) for t in truths]),
        direction=np.array([IGNORED if d is None else names.directions.index(d) for d in directions]),
    )


def _boxes(thing: dict[str, Any], frames: np.ndarray) -> np.ndarray:
    """(x0, y0, x1, y1) of a thing in these frames, [n, 4]."""
    x, y, size = (np.array(thing[key])[frames] for key in ("x", "y", "size"))
    half, tall = size * thing["wide"] / 2, size * thing["high"] / 2
    return np.stack([x - half, y - tall, x + half, y + tall], axis=-1)


def _inside(boxes: np.ndarray) -> np.ndarray:
    """Whether the middle of a box is in the frame."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return (np.abs(x - 0.5) < 0.5) & (np.abs(y - 0.5) < 0.5)


def augmented(
    x: Tensor, table: Table, directions: Sequence[str], how: Augment, rng: np.random.Generator
) -> tuple[Tensor, Table]:
    """Clips [B, 3, F, S, S] and their truth -> the same mirrored, zoomed, shifted, blurred, brightened and noised."""
    count, size = len(x), x.shape[-1]
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0).astype(np.float32)
    zoom = np.exp(rng.uniform(-1, 1, count) * np.log(how.zoom)).astype(np.float32)
    shift = rng.uniform(-how.shift, how.shift, (count, 2)).astype(np.float32)
    x = _resampled(x, mirror, zoom, shift)
    soft, small = count // 2, int(rng.integers(how.blur, size))
    x[:soft] = _blurred(x[:soft], small)
    ranges = ((-how.light, how.light), (1 - how.light, 1 + how.light), (0, how.noise))
    light, contrast, level = (
        torch.from_numpy(rng.uniform(low, high, (count, 1, 1, 1, 1)).astype(np.float32)) for low, high in ranges
    )
    noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    return (x * contrast + light + level * noise).clamp(-1, 1), _moved(table, directions, mirror, zoom, shift)


def _resampled(x: Tensor, mirror: np.ndarray, zoom: np.ndarray, shift: np.ndarray) -> Tensor:
    affine = torch.zeros(len(x), 2, 3)
    affine[:, 0, 0] = torch.from_numpy(mirror / zoom)
    affine[:, 1, 1] = torch.from_numpy(1 / zoom)
    affine[:, :, 2] = torch.from_numpy(-2 * shift / zoom[:, None]) * affine[:, [0, 1], [0, 1]].sign()
    frames = rearrange(x, "b c f h w -> (b f) c h w")
    grid = F.affine_grid(repeat(affine, "b i j -> (b f) i j", f=x.shape[2]), list(frames.shape), align_corners=False)
    frames = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    return rearrange(frames, "(b f) c h w -> b c f h w", b=len(x))


def _blurred(x: Tensor, side: int) -> Tensor:
    frames = rearrange(x, "b c f h w -> (b f) c h w")
    frames = F.interpolate(frames, (side, side), mode="bilinear", antialias=True)
    frames = F.interpolate(frames, x.shape[-2:], mode="bilinear")
    return rearrange(frames, "(b f) c h w -> b c f h w", f=x.shape[2])


def _moved(table: Table, directions: Sequence[str], mirror: np.ndarray, zoom: np.ndarray, shift: np.ndarray) -> Table:
    """The truth of clips that were mirrored, zoomed and shifted."""
    flip = mirror[:, None, None] < 0
    x0, y0, x1, y1 = np.moveaxis(table.boxes, -1, 0)
    boxes = np.stack([np.where(flip, 1 - x1, x0), y0, np.where(flip, 1 - x0, x1), y1], axis=-1)
    boxes = (boxes - 0.5) * zoom[:, None, None, None] + 0.5 + np.tile(shift, 2)[:, None, None]
    turned = np.array([directions.index(mirrored(d)) for d in directions])
    other = np.where(table.direction == IGNORED, IGNORED, turned[table.direction])
    return replace(table, boxes=boxes, direction=np.where(mirror < 0, other, table.direction))


def loss(seen: Watched, table: Table) -> dict[str, Tensor]:
    """Cross-entropies of the cells, of the shares of labels over all frames, and of the clip's own words."""
    labels, colours = cell_targets(_by_frame(table))
    weight = torch.ones(seen.cells.shape[2])
    weight[0] = 0.2  # most cells are empty
    _, share = evidence(rearrange(seen.cells, "b n l i j -> b l (n i) j"))
    named = torch.from_numpy(table.labels.max(axis=1))  # a thing has one label in all frames, -1 where it is not seen
    there = (named >= 0).float()
    picked = share.gather(1, named.clamp_min(0)).clamp_min(1e-6).log()
    parts = {
        "cells": F.cross_entropy(seen.cells.flatten(0, 1).float(), labels, weight, ignore_index=IGNORED),
        "objects": -((picked * there).sum(1) / there.sum(1).clamp_min(1)).mean(),
        "colours": _asked(seen.colours.flatten(0, 1), colours),
    }
    for name in ("background", "style", "kind", "direction"):
        parts[name] = _asked(getattr(seen, name), torch.from_numpy(getattr(table, name)))
    scale = {"objects": 0.5, "colours": 0.3, "background": 0.3, "style": 0.1}
    return {**parts, "loss": sum(scale.get(name, 1.0) * part for name, part in parts.items())}


def _asked(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of what is asked; 0 where nothing is."""
    if bool((truth == IGNORED).all()):
        return logits.float().sum() * 0
    return F.cross_entropy(logits.float(), truth, ignore_index=IGNORED)


def _by_frame(table: Table) -> Truths:
    """The things of each frame that is read singly, as those of a picture."""
    flat = {k: getattr(table, k).reshape(-1, *getattr(table, k).shape[2:]) for k in ("labels", "colours", "boxes")}
    none = np.zeros(len(flat["labels"]), np.int64)
    return Truths(**flat, count=none, background=none, style=none)


def borrow(look: Reader, other: Reader) -> int:
    """Gives a scene reader the weights of another as far as sizes and words are the same; how many tensors it took."""
    mine, given = look.state_dict(), other.state_dict()
    taken = [name for name in mine if name in given and given[name].shape == mine[name].shape and "_head" not in name]
    for name in taken:
        mine[name].copy_(given[name])
    if look.config.widths == other.config.widths:
        for head, to, of in _known_rows(look.config, other.config):
            for part in ("weight", "bias"):
                mine[f"{head}.{part}"][to].copy_(given[f"{head}.{part}"][of])
    return len(taken)


def _known_rows(mine: ReaderConfig, other: ReaderConfig) -> Iterator[tuple[str, int, int]]:
    """(head, my row, the other's row) of every word that both readers know."""
    yield "cells_head", 0, 0  # no object
    places = {"labels": ("cells_head", 1, 1), "colours": ("colours_head", 0, 0)}
    places["backgrounds"] = ("scene_head", mine.counts, other.counts)
    places["styles"] = ("scene_head", mine.counts + len(mine.backgrounds), other.counts + len(other.backgrounds))
    for key, (head, first, others) in places.items():
        at = {name: others + i for i, name in enumerate(getattr(other, key))}
        for i, name in enumerate(getattr(mine, key)):
            if name in at:
                yield head, first + i, at[name]


def all_truths(clips: Clips) -> list[dict[str, Any]]:
    """The truth of every clip of a split, read in one pass."""
    with (clips.folder / "clips.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["truth"] for line, _ in zip(lines, range(len(clips)), strict=False)]


def clips_of(clips: Clips, chosen: Sequence[int] | np.ndarray, frames: int) -> Tensor:
    """Clips by index -> [B, 3, F, H, W] in [-1, 1]."""
    pixels = np.stack([clips[int(i)][:frames] for i in chosen])
    return rearrange(torch.from_numpy(pixels).float().div_(127.5).sub_(1), "b f h w c -> b c f h w")


def run(recipe: MotionReaderRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/reader.safetensors` (averaged weights, float16) at each checkpoint; resumes what is there."""
    clips = Clips(Path(recipe.data) / "train")
    truths = all_truths(clips)
    if not truths:
        raise ValueError(f"{recipe.data} holds no clip yet")
    names = words(truths, recipe, clips.shape[1])
    table = tabulate(truths, names)
    torch.manual_seed(recipe.schedule.seed)
    reader = MotionReader(names)
    if recipe.begin:
        borrow(reader.look, load_reader())

    def step_loss(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((recipe.schedule.seed, step))
        chosen = rng.integers(len(clips), size=recipe.batch)
        x = clips_of(clips, chosen, names.frames)
        x, batch = augmented(x, table.take(chosen), names.directions, recipe.augment, rng)
        return loss(reader(x), batch)

    def keep(_: int, ema: Any) -> None:
        about = {"kind": "motion_reader", "config": config.plain(names)}
        weights.save(out / "reader.safetensors", ema.weights, about, torch.float16)

    yield from train([Player(name="reader", module=reader, loss=step_loss)], recipe.schedule, out, keep)
