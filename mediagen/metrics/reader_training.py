"""Training the scene reader: truth of a built scenes world -> targets, augmentation, loss, recipe.

The pictures it will judge are generated: soft, a little noisy, a little off in brightness and place. So it is trained
on scenes that were blurred, noised, brightened, zoomed and shifted.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import config
from ..data.stored import Scenes
from ..training import weights
from ..training.trainer import Player, Progress, Schedule, train
from .reader import Reader, ReaderConfig, Seen, evidence, fit

IGNORED = -1
GRID = 8
MOST = 4  # objects in a scene


@dataclass(frozen=True, kw_only=True)
class Augment:
    """shift: share of the side; zoom: largest factor up or down; blur: smallest side that a picture is shrunk to
    before it is enlarged again; noise: largest standard deviation; light: largest change of brightness. Values are
    in [-1, 1]."""

    shift: float = 0.05
    zoom: float = 1.1
    blur: int = 26
    noise: float = 0.1
    light: float = 0.15


@dataclass(frozen=True, kw_only=True)
class ReaderRecipe:
    """data: a built scenes world; the words of the world are added to `model` when the data is read."""

    kind: str = "reader"
    data: str
    batch: int = 64
    widths: tuple[int, ...] = (64, 128)
    blocks: tuple[int, ...] = (1, 2)
    augment: Augment = Augment()
    schedule: Schedule


@dataclass(frozen=True, kw_only=True)
class Truths:
    """Truth of N scenes as arrays; a missing object or colour is -1. boxes [N, 4, 4] are (x0, y0, x1, y1) in 0..1."""

    labels: np.ndarray
    colours: np.ndarray
    boxes: np.ndarray
    count: np.ndarray
    background: np.ndarray
    style: np.ndarray

    def take(self, chosen: np.ndarray) -> "Truths":
        return Truths(**{k: v[chosen] for k, v in vars(self).items()})


def words(truths: Sequence[dict[str, Any]], sizes: ReaderRecipe) -> ReaderConfig:
    """The words that occur in the truth, sorted: the outputs of a reader for this world."""
    objects = [o for t in truths for o in t["objects"]]
    return ReaderConfig(
        labels=tuple(sorted({o["label"] for o in objects})),
        colours=tuple(sorted({o["color"] for o in objects if o["color"]})),
        backgrounds=tuple(sorted({t["background"] for t in truths})),
        styles=tuple(sorted({t["style"] for t in truths})),
        widths=sizes.widths,
        blocks=sizes.blocks,
    )


def tabulate(truths: Sequence[dict[str, Any]], names: ReaderConfig) -> Truths:
    """Dictionaries of truth -> arrays of indices into the words of `names`."""
    places = {
        k: {n: i for i, n in enumerate(getattr(names, k))} for k in ("labels", "colours", "backgrounds", "styles")
    }
    labels, colours = (np.full((len(truths), MOST), -1, np.int64) for _ in range(2))
    boxes = np.full((len(truths), MOST, 4), -1.0, np.float32)
    for i, truth in enumerate(truths):
        for j, o in enumerate(truth["objects"][:MOST]):
            labels[i, j] = places["labels"][o["label"]]
            colours[i, j] = places["colours"][o["color"]] if o["color"] else -1
            boxes[i, j] = o["box"]
    return Truths(
        labels=labels,
        colours=colours,
        boxes=boxes,
        count=np.array([t["count"] - 1 for t in truths]),
        background=np.array([places["backgrounds"][t["background"]] for t in truths]),
        style=np.array([places["styles"][t["style"]] for t in truths]),
    )


def all_truths(scenes: Scenes) -> list[dict[str, Any]]:
    """The truth of every scene of a split, read in one pass."""
    with (scenes.folder / "scenes.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["truth"] for line, _ in zip(lines, range(len(scenes)), strict=False)]


def cell_targets(truths: Truths) -> tuple[Tensor, Tensor]:
    """Labels (0 is empty) and colours for each cell, [B, 8, 8]; -1 where nothing is asked.

    A cell takes an object's label in the middle 60 % of its box; the rest of the box is not asked, for there an object
    may or may not be. Colours are asked where the truth names one.
    """
    middle = (np.arange(GRID) + 0.5) / GRID
    labels = np.zeros((len(truths.count), GRID, GRID), np.int64)
    colours = np.full_like(labels, IGNORED)
    for inner in (False, True):
        for j in range(MOST):
            here = _covered(truths.boxes[:, j], middle, inner) & (truths.labels[:, j] >= 0)[:, None, None]
            values = np.broadcast_to((truths.labels[:, j] + 1)[:, None, None], labels.shape)
            labels = np.where(here, values if inner else IGNORED, labels)
            colours = np.where(here & inner, truths.colours[:, j][:, None, None], colours)
    return torch.from_numpy(labels), torch.from_numpy(colours)


def _covered(boxes: np.ndarray, middle: np.ndarray, inner: bool) -> np.ndarray:
    """Which cells [B, 8, 8] lie in the boxes [B, 4]; `inner`: in their middle 60 %, at least the cell of the centre."""
    sides = []
    for low, high in ((boxes[:, 1], boxes[:, 3]), (boxes[:, 0], boxes[:, 2])):
        centre, half = (low + high) / 2, (high - low) / 2 * (0.6 if inner else 1.0)
        half = np.maximum(half, 0.5 / GRID)
        sides.append(np.abs(middle[None] - centre[:, None]) <= half[:, None])
    return sides[0][:, :, None] & sides[1][:, None, :]


def augmented(x: Tensor, truths: Truths, how: Augment, rng: np.random.Generator) -> tuple[Tensor, Truths]:
    """Pictures [B, 3, S, S] and their truth -> the same zoomed, shifted, blurred, brightened and noised."""
    count, size = len(x), x.shape[-1]
    zoom = np.exp(rng.uniform(-1, 1, count) * np.log(how.zoom)).astype(np.float32)
    shift = rng.uniform(-how.shift, how.shift, (count, 2)).astype(np.float32)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = torch.from_numpy(1 / zoom)
    affine[:, :, 2] = torch.from_numpy(-2 * shift / zoom[:, None])
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    moved = (truths.boxes - 0.5) * zoom[:, None, None] + 0.5 + np.tile(shift, 2)[:, None]
    soft, small = count // 2, int(rng.integers(how.blur, size))
    x[:soft] = F.interpolate(
        F.interpolate(x[:soft], (small, small), mode="bilinear", antialias=True), (size, size), mode="bilinear"
    )
    light = torch.from_numpy(rng.uniform(-how.light, how.light, (count, 1, 1, 1)).astype(np.float32))
    contrast = torch.from_numpy(rng.uniform(1 - how.light, 1 + how.light, (count, 1, 1, 1)).astype(np.float32))
    level = torch.from_numpy(rng.uniform(0, how.noise, (count, 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    return (x * contrast + light + level * noise).clamp(-1, 1), replace(truths, boxes=moved)


def loss(seen: Seen, truths: Truths) -> dict[str, Tensor]:
    """Cross-entropies of the cells, of the shares of labels over the whole picture, and of the scene's own words."""
    labels, colours = cell_targets(truths)
    weight = torch.ones(seen.cells.shape[1])
    weight[0] = 0.2  # most cells are empty
    named = torch.from_numpy(truths.labels)
    there = (named >= 0).float()
    _, share = evidence(seen.cells)
    picked = share.gather(1, named.clamp_min(0)).clamp_min(1e-6).log()
    parts = {
        "cells": F.cross_entropy(seen.cells.float(), labels, weight, ignore_index=IGNORED),
        "objects": -((picked * there).sum(1) / there.sum(1)).mean(),
        "colours": F.cross_entropy(seen.colours.float(), colours, ignore_index=IGNORED),
    }
    for name in ("count", "background", "style"):
        parts[name] = F.cross_entropy(getattr(seen, name).float(), torch.from_numpy(getattr(truths, name)))
    scale = {"objects": 0.5, "colours": 0.3, "count": 0.3, "background": 0.3, "style": 0.3}
    return {**parts, "loss": sum(scale.get(name, 1.0) * part for name, part in parts.items())}


def run(recipe: ReaderRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/reader.safetensors` (averaged weights, float16) at each checkpoint; resumes what is there."""
    scenes = Scenes(Path(recipe.data) / "train")
    truths = all_truths(scenes)
    names = words(truths, recipe)
    table = tabulate(truths, names)
    torch.manual_seed(recipe.schedule.seed)
    reader = Reader(names).to(memory_format=torch.channels_last)

    def step_loss(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((recipe.schedule.seed, step))
        chosen = np.sort(rng.integers(len(scenes), size=recipe.batch))
        rng.shuffle(chosen)
        x = fit(pictures_of(scenes, chosen), names.size)
        x, batch = augmented(x, table.take(chosen), recipe.augment, rng)
        return loss(reader(x.contiguous(memory_format=torch.channels_last)), batch)

    def keep(_: int, ema: Any) -> None:
        about = {"kind": "scene_reader", "config": config.plain(names)}
        weights.save(out / "reader.safetensors", ema.weights, about, torch.float16)

    yield from train([Player(name="reader", module=reader, loss=step_loss)], recipe.schedule, out, keep)


def pictures_of(scenes: Scenes, chosen: Sequence[int] | np.ndarray) -> Tensor:
    """Scenes by index -> [B, 3, H, W] in [-1, 1]."""
    pixels = np.stack([scenes.images(int(i)) for i in chosen])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
