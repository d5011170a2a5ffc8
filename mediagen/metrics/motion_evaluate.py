"""A model's report on held-out clips: accuracies and steadiness beside real clips, and the Frechet distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.motion.clips import Clips
from .frechet import frechet
from .motion_reader import MotionReader, load, watched
from .motion_score import Truth, all_of, as_tensor, score, told, world_of
from .steadiness import flicker, warp_error

ROWS = ("object", "object_single", "object_pair", "colour", "background", "style", "kind", "direction", "move")
ROWS = (*ROWS, "identity")
STEADINESS = {"flicker": flicker, "warp_error": warp_error}


class Generate(Protocol):
    """Prompts and a seed -> as many clips, each uint8 [F, H, W, 3] or float [3, F, H, W] in [-1, 1], at the rate and of
    the frames of the data set at least; options such as steps and guidance are passed on."""

    def __call__(self, prompts: list[str], seed: int, **options: Any) -> Sequence[np.ndarray | Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class MotionEvaluation:
    """model, real: accuracies (`score`) and steadiness of generated clips and of the real clips of the same captions;
    distance: Frechet distance of the generated clips to all other held-out ones, floor: that of the real ones; clips:
    [3, F, H, W]."""

    model: Mapping[str, float]
    real: Mapping[str, float]
    distance: float
    floor: float
    prompts: tuple[str, ...]
    asked: tuple[Truth, ...]
    clips: tuple[Tensor, ...]

    def report(self) -> dict[str, Any]:
        """The figures alone, ready for JSON."""
        figures = {"distance": self.distance, "floor": self.floor}
        return {"cases": len(self.prompts), **figures, "model": dict(self.model), "real": dict(self.real)}


def evaluate(
    generate: Generate,
    folder: str | Path,
    count: int = 128,
    batch: int = 8,
    seed: int = 0,
    reader: MotionReader | None = None,
    **options: Any,
) -> MotionEvaluation:
    """Generate `count` held-out captions of the data set in `folder` (batch i with seed + i) and judge the clips.

    The first caption of each clip is used, and only what it says is asked. ValueError if there are too few clips.
    """
    clips, world, reader = Clips(Path(folder) / "heldout"), world_of(folder), reader or load()
    if not 2 <= count <= len(clips) // 2:
        raise ValueError(f"count is {count}; it must be 2 to {len(clips) // 2}, half of the held-out clips")
    order = np.random.default_rng(seed).permutation(len(clips))
    chosen, others = order[:count], order[count:]
    prompts = [clips.captions(int(i))[0] for i in chosen]
    asked = [told(clips.truth(int(i)), p, world) for i, p in zip(chosen, prompts, strict=True)]
    made: list[Tensor] = []
    for k in range(0, count, batch):
        part = generate(prompts[k : k + batch], seed=seed + k // batch, **options)
        made += [as_tensor(clip) for clip in part]
    if len(made) != count:
        raise ValueError(f"{count} prompts gave {len(made)} clips; one for each is needed")
    known, real = features(reader, shown(clips, others)), shown(clips, chosen)
    return MotionEvaluation(
        model=score(made, asked, reader) | steadiness(made),
        real=score(real, asked, reader) | steadiness(real),
        distance=frechet(features(reader, made), known),
        floor=frechet(features(reader, real), known),
        prompts=tuple(prompts),
        asked=tuple(asked),
        clips=tuple(made),
    )


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


def table(evaluation: MotionEvaluation) -> str:
    """A markdown table: each figure of the model, of the real clips, and the number of cases."""
    lines = ["| | model | real clips | cases |", "|---|---|---|---|"]
    count = len(evaluation.prompts)
    for key in ROWS:
        if key in evaluation.model:
            made, real = evaluation.model[key], evaluation.real[key]
            lines.append(
                f"| {key.replace('_', ', ')} | {made:.1%} | {real:.1%} | {int(evaluation.model[key + '_cases'])} |"
            )
    for key in STEADINESS:
        made, real = evaluation.model[key], evaluation.real[key]
        lines.append(f"| {key.replace('_', ' ')} | {made:.4f} | {real:.4f} | {count} |")
    lines.append(f"| Frechet video distance | {evaluation.distance:.2f} | {evaluation.floor:.2f} | {count} |")
    return "\n".join(lines)
