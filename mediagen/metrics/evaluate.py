"""A model's report on held-out scenes: accuracies beside those of real scenes, and the Frechet distance."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.stored import Scenes
from .frechet import frechet
from .reader import Reader, load
from .score import Truth, as_tensor, score, told, world_of

ROWS = ("object", "object_single", "object_pair", "object_count", "colour", "count", "count_many")
ROWS = (*ROWS, "relation", "relation_found", "background", "style")


class Generate(Protocol):
    """Prompts and a seed -> uint8 [N, H, W, 3]; options such as steps and guidance are passed on."""

    def __call__(self, prompts: list[str], seed: int, **options: Any) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """model, real: accuracies of generated and of the real pictures of the same captions (`score`); distance: Frechet
    distance of the generated pictures to all other held-out scenes, floor: that of the real ones; pictures: uint8."""

    model: Mapping[str, float]
    real: Mapping[str, float]
    distance: float
    floor: float
    prompts: tuple[str, ...]
    truths: tuple[Truth, ...]
    pictures: np.ndarray

    def report(self) -> dict[str, Any]:
        """The figures alone, ready for JSON."""
        figures = {"distance": self.distance, "floor": self.floor}
        return {"cases": len(self.prompts), **figures, "model": dict(self.model), "real": dict(self.real)}


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
    scenes, world, reader = Scenes(Path(folder) / "heldout"), world_of(folder), reader or load()
    if not 2 <= count <= len(scenes) // 2:
        raise ValueError(f"count is {count}; it must be 2 to {len(scenes) // 2}, half of the held-out scenes")
    order = np.random.default_rng(seed).permutation(len(scenes))
    chosen, others = order[:count], order[count:]
    prompts = [scenes.captions(int(i))[0] for i in chosen]
    truths = [told(scenes.truth(int(i)), p, world) for i, p in zip(chosen, prompts, strict=True)]
    made = [generate(prompts[k : k + batch], seed=seed + k // batch, **options) for k in range(0, count, batch)]
    pictures, real = np.concatenate(made), stacked(scenes, chosen)
    known = features(reader, stacked(scenes, others))
    return Evaluation(
        model=score(pictures, truths, reader),
        real=score(real, truths, reader),
        distance=frechet(features(reader, pictures), known),
        floor=frechet(features(reader, real), known),
        prompts=tuple(prompts),
        truths=tuple(truths),
        pictures=pictures,
    )


def stacked(scenes: Scenes, chosen: np.ndarray) -> np.ndarray:
    """Scenes by index -> uint8 [N, H, W, 3]."""
    return np.stack([scenes.images(int(i)) for i in chosen])


@torch.no_grad()
def features(reader: Reader, images: np.ndarray | Tensor) -> Tensor:
    """Pictures as `score` takes them -> the reader's features [N, F]."""
    parts = [images[k : k + 64] for k in range(0, len(images), 64)]
    return torch.cat([reader(as_tensor(part)).features for part in parts]).float()


def table(evaluation: Evaluation) -> str:
    """A markdown table: each accuracy of the model, of the real scenes, and the number of cases."""
    lines = ["| | model | real scenes | cases |", "|---|---|---|---|"]
    for key in ROWS:
        if key in evaluation.model:
            made, real = evaluation.model[key], evaluation.real.get(key)
            cases = int(evaluation.model[f"{key}_cases"])
            beside = "" if real is None else f"{real:.1%}"
            lines.append(f"| {key.replace('_', ', ')} | {made:.1%} | {beside} | {cases} |")
    count = len(evaluation.prompts)
    lines.append(f"| Frechet distance | {evaluation.distance:.2f} | {evaluation.floor:.2f} | {count} |")
    return "\n".join(lines)
