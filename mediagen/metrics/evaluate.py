"""A model's report on held-out scenes: accuracies beside those of real scenes, and the Frechet distance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.stored import Scenes
from . import heldout
from .reader import Reader, load
from .score import Truth, as_tensor, score, told, world_of

ROWS = ("object", "object_single", "object_pair", "object_count", "colour", "count", "count_many")
ROWS = (*ROWS, "relation", "relation_found", "background", "style")
Evaluation = heldout.Evaluation[Truth, np.ndarray]  # made: uint8 [H, W, 3] each
table = partial(
    heldout.table,
    rows={key: key.replace("_", ", ") for key in ROWS},
    real="real scenes",
    distance="Frechet distance",
)


class Generate(Protocol):
    """Prompts and a seed -> as many pictures, uint8 [N, H, W, 3]; options such as steps and guidance are passed on."""

    def __call__(self, prompts: list[str], seed: int, **options: Any) -> np.ndarray: ...


def evaluate(
    generate: Generate,
    folder: str | Path,
    count: int = 256,
    batch: int = 16,
    seed: int = 0,
    reader: Reader | None = None,
    **options: Any,
) -> Evaluation:
    """Generate `count` held-out captions of the data set in `folder` (batch i with seed + i) and judge the pictures.

    The first caption of each scene is used, and only what it says is asked. ValueError if there are too few scenes.
    """
    scenes, world, known = Scenes(Path(folder) / "heldout"), world_of(folder), reader or load()
    judge: heldout.Judge[Truth, np.ndarray] = heldout.Judge(
        what="scenes",
        told=partial(told, world=world),
        real=lambda chosen: [scenes.images(int(i)) for i in chosen],
        score=lambda pictures, asked: score(np.stack(pictures), asked, known),
        features=partial(features, known),
    )

    def make(prompts: list[str], seed: int) -> list[np.ndarray]:
        return list(generate(prompts, seed=seed, **options))

    return judge.evaluate(scenes, make, count=count, batch=batch, seed=seed)


@torch.no_grad()
def features(reader: Reader, images: Sequence[np.ndarray] | np.ndarray | Tensor) -> Tensor:
    """Pictures as `score` takes them, or one by one -> the reader's features [N, F]."""
    parts = [images[k : k + 64] for k in range(0, len(images), 64)]
    stacked = (part if isinstance(part, Tensor) else np.stack(list(part)) for part in parts)
    return torch.cat([reader(as_tensor(part)).features for part in stacked]).float()
