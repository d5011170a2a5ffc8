"""A model's report on held-out music: accuracies beside those of real renders, and the Frechet distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.grooves.render import RATE
from ..data.grooves.stored import Grooves
from .frechet import frechet
from .music_reader import MusicReader, listened, load
from .music_score import Asked, all_of, score, told, world_of

TEMPI = ("tempo", "tempo_any_beat", "tempo_tracked", "tempo_tracked_any_beat")
ROWS = ("instrument", "instruments", "drums", *TEMPI, "genre", "key", "mode", "key_and_mode", "effect")
SECONDS = 10.0


class Generate(Protocol):
    """Prompts, a seed and a length -> as many sounds, each float [2, T] in [-1, 1] at 44.1 kHz; options such as steps
    and guidance are passed on."""

    def __call__(
        self, prompts: list[str], seed: int, seconds: float, **options: Any
    ) -> Sequence[Tensor | np.ndarray]: ...


@dataclass(frozen=True, kw_only=True)
class MusicEvaluation:
    """model, real: accuracies of generated sounds and of the real renders of the same captions (`score`); distance:
    Frechet distance of the generated sounds to all other held-out clips, floor: that of the real ones; sounds: [2, T].
    """

    model: Mapping[str, float]
    real: Mapping[str, float]
    distance: float
    floor: float
    prompts: tuple[str, ...]
    asked: tuple[Asked, ...]
    sounds: tuple[Tensor, ...]

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
    seconds: float = SECONDS,
    reader: MusicReader | None = None,
    tracker: bool = False,
    **options: Any,
) -> MusicEvaluation:
    """Generate `count` held-out captions of the data set in `folder` (batch i with seed + i) and judge the sounds.

    The first caption of each clip is used, and only what it says is asked; of longer real clips the first `seconds`
    are heard. tracker: tempo by librosa too. ValueError if there are too few clips.
    """
    clips, world, reader = Grooves(Path(folder) / "heldout"), world_of(folder), reader or load()
    if not 2 <= count <= len(clips) // 2:
        raise ValueError(f"count is {count}; it must be 2 to {len(clips) // 2}, half of the held-out clips")
    order = np.random.default_rng(seed).permutation(len(clips))
    chosen, others = order[:count], order[count:]
    prompts = [clips.captions(int(i))[0] for i in chosen]
    asked = [told(clips.truth(int(i)), p, world) for i, p in zip(chosen, prompts, strict=True)]
    made: list[Tensor] = []
    for k in range(0, count, batch):
        part = generate(prompts[k : k + batch], seed=seed + k // batch, seconds=seconds, **options)
        made += [torch.as_tensor(sound).float().cpu() for sound in part]
    if len(made) != count:
        raise ValueError(f"{count} prompts gave {len(made)} sounds; one for each is needed")
    known, real = features(reader, heard(clips, others, seconds)), heard(clips, chosen, seconds)
    return MusicEvaluation(
        model=score(made, asked, reader, tracker=tracker),
        real=score(real, asked, reader, tracker=tracker),
        distance=frechet(features(reader, made), known),
        floor=frechet(features(reader, real), known),
        prompts=tuple(prompts),
        asked=tuple(asked),
        sounds=tuple(made),
    )


def examine(
    folder: str | Path, count: int, reader: MusicReader, *, seconds: float = 60.0, tracker: bool = False
) -> dict[str, float]:
    """How well a reader reads the first `count` held-out renders when all that is true of each is asked (`score`)."""
    clips = Grooves(Path(folder) / "heldout")
    if not 1 <= count <= len(clips):
        raise ValueError(f"count is {count}; it must be 1 to {len(clips)}, the number of held-out clips")
    chosen = np.arange(count)
    asked = [all_of(clips.truth(i)) for i in chosen.tolist()]
    return score(heard(clips, chosen, seconds), asked, reader, tracker=tracker)


def heard(clips: Grooves, chosen: np.ndarray, seconds: float) -> list[Tensor]:
    """Clips by index -> their first `seconds`, float32 [2, T] in [-1, 1]."""
    frames = round(seconds * RATE)
    return [torch.from_numpy(clips.audio(int(i))[:frames].T.astype(np.float32) / 32768) for i in chosen]


def features(reader: MusicReader, sounds: Sequence[Tensor]) -> Tensor:
    """Sounds [C, T] -> the reader's features [N, F]."""
    return torch.stack([h.features for h in listened(reader, sounds)])


def table(evaluation: MusicEvaluation) -> str:
    """A markdown table: each accuracy of the model, of the real renders, and the number of cases."""
    lines = ["| | model | real renders | cases |", "|---|---|---|---|"]
    for key in ROWS:
        if key in evaluation.model:
            made, real = evaluation.model[key], evaluation.real[key]
            lines.append(
                f"| {key.replace('_', ' ')} | {made:.1%} | {real:.1%} | {int(evaluation.model[key + '_cases'])} |"
            )
    count = len(evaluation.prompts)
    lines.append(f"| Frechet distance | {evaluation.distance:.2f} | {evaluation.floor:.2f} | {count} |")
    return "\n".join(lines)
