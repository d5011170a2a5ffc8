"""A model's report on held-out clips: accuracies and steadiness beside real clips, and the Frechet distance."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.motion.clips import Clips
from . import heldout
from .motion_reader import MotionReader, load, watched
from .motion_score import Truth, all_of, as_tensor, score, told, world_of
from .steadiness import flicker, warp_error

ROWS = ("object", "object_single", "object_pair", "colour", "background", "style", "kind", "direction", "move")
ROWS = (*ROWS, "identity")
STEADINESS = {"flicker": flicker, "warp_error": warp_error}
Evaluation = heldout.Evaluation[Truth, Tensor]  # made: [3, F, H, W] each
table = partial(
    heldout.table,
    rows={key: key.replace("_", ", ") for key in ROWS},
    real="real clips",
    distance="Frechet video distance",
    steady={key: key.replace("_", " ") for key in STEADINESS},
)


class Generate(Protocol):
    """Prompts and a seed -> as many clips, each uint8 [F, H, W, 3] or float [3, F, H, W] in [-1, 1], at the rate and of
    the frames of the data set at least; options such as steps and guidance are passed on."""

    def __call__(self, prompts: list[str], seed: int, **options: Any) -> Sequence[np.ndarray | Tensor]: ...


def evaluate(
    generate: Generate,
    folder: str | Path,
    count: int = 128,
    batch: int = 8,
    seed: int = 0,
    reader: MotionReader | None = None,
    **options: Any,
) -> Evaluation:
    """Generate `count` held-out captions of the data set in `folder` (batch i with seed + i) and judge the clips: their
    accuracies (`score`) and steadiness.

    The first caption of each clip is used, and only what it says is asked. ValueError if there are too few clips.
    """
    clips, world, known = Clips(Path(folder) / "heldout"), world_of(folder), reader or load()
    judge: heldout.Judge[Truth, Tensor] = heldout.Judge(
        what="clips",
        told=partial(told, world=world),
        real=partial(shown, clips),
        score=lambda made, asked: score(made, asked, known) | steadiness(made),
        features=partial(features, known),
    )

    def make(prompts: list[str], seed: int) -> list[Tensor]:
        return [as_tensor(clip) for clip in generate(prompts, seed=seed, **options)]

    return judge.evaluate(clips, make, count=count, batch=batch, seed=seed)


def examine(folder: str | Path, count: int, reader: MotionReader) -> dict[str, float]:
    """How well a reader reads the first `count` held-out clips when all that is true of each is asked (`score`)."""
    clips = Clips(Path(folder) / "heldout")
    if not 1 <= count <= len(clips):
        raise ValueError(f"count is {count}; it must be 1 to {len(clips)}, the number of held-out clips")
    return score(shown(clips, np.arange(count)), [all_of(clips.truth(i)) for i in range(count)], reader)


def shown(clips: Clips, chosen: np.ndarray) -> list[Tensor]:
    """Clips by index -> float [3, F, H, W] in [-1, 1]."""
    return [as_tensor(np.array(clips[int(i)])) for i in chosen]


def steadiness(clips: Sequence[Tensor]) -> dict[str, float]:
    """Mean flicker and warp error of clips [3, F, H, W]; values are in [-1, 1]."""
    return {name: float(np.mean([measure(x[None]).item() for x in clips])) for name, measure in STEADINESS.items()}


@torch.no_grad()
def features(reader: MotionReader, clips: Sequence[Tensor]) -> Tensor:
    """Clips [3, F, H, W] -> the reader's features [N, F]."""
    return watched(reader, clips).features
