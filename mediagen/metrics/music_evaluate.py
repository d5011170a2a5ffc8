"""A model's report on held-out music: accuracies beside those of real renders, and the Frechet distance."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.grooves.render import RATE
from ..data.grooves.stored import Grooves
from . import heldout
from .music_reader import MusicReader, listened, load
from .music_score import Asked, all_of, score, told, world_of

TEMPI = ("tempo", "tempo_any_beat", "tempo_tracked", "tempo_tracked_any_beat")
ROWS = ("instrument", "instruments", "drums", *TEMPI, "genre", "key", "mode", "key_and_mode", "effect")
SECONDS = 10.0
Evaluation = heldout.Evaluation[Asked, Tensor]  # made: [2, T] each
table = partial(
    heldout.table,
    rows={key: key.replace("_", " ") for key in ROWS},
    real="real renders",
    distance="Frechet distance",
)


class Generate(Protocol):
    """Prompts, a seed and a length -> as many sounds, each float [2, T] in [-1, 1] at 44.1 kHz; options such as steps
    and guidance are passed on."""

    def __call__(
        self, prompts: list[str], seed: int, seconds: float, **options: Any
    ) -> Sequence[Tensor | np.ndarray]: ...


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
) -> Evaluation:
    """Generate `count` held-out captions of the data set in `folder` (batch i with seed + i) and judge the sounds.

    The first caption of each clip is used, and only what it says is asked; of longer real clips the first `seconds`
    are heard. tracker: tempo by librosa too. ValueError if there are too few clips.
    """
    clips, world, known = Grooves(Path(folder) / "heldout"), world_of(folder), reader or load()
    judge: heldout.Judge[Asked, Tensor] = heldout.Judge(
        what="clips",
        told=partial(told, world=world),
        real=partial(heard, clips, seconds=seconds),
        score=partial(score, reader=known, tracker=tracker),
        features=partial(features, known),
    )

    def make(prompts: list[str], seed: int) -> list[Tensor]:
        made = generate(prompts, seed=seed, seconds=seconds, **options)
        return [torch.as_tensor(sound).float().cpu() for sound in made]

    return judge.evaluate(clips, make, count=count, batch=batch, seed=seed)


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
