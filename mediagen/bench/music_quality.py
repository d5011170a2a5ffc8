"""How well the shipped model of music follows held-out captions: the figures of its card."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import load
from ..metrics.music_evaluate import SECONDS, evaluate
from ..metrics.music_evaluate import table as rows
from ..metrics.music_reader import MusicReader
from ..modalities.audio import Audio
from ..modalities.image import sheet
from .quality import check_built

DATA = Path("data/grooves-small")
SHOWN = 8


def table(
    data: str | Path = DATA,
    model: str | Path = "mini-audio",
    count: int = 128,
    sounds: Path | None = None,
    reader: MusicReader | None = None,
    **options: Any,
) -> str:
    """A markdown table of accuracies beside those of real renders. ValueError if the data set has not been built.

    sounds: a folder for the first clips, unpicked, and a sheet of their pictures. options: as for `generate`; tracker:
    tempo by librosa too.
    """
    check_built(data, "grooves")
    pipeline = load(model)

    def generate(prompts: list[str], seed: int, seconds: float, **walk: Any) -> list[Tensor]:
        made = pipeline.generate(list(prompts), seed=seed, seconds=seconds, **walk)
        return [torch.from_numpy(clip.samples) for clip in made]

    found = evaluate(generate, data, count=count, seconds=SECONDS, reader=reader, **options)
    if sounds is not None:
        sounds.mkdir(parents=True, exist_ok=True)
        clips = [Audio.from_tensor(x, pipeline.rate) for x in found.made[:SHOWN]]
        for number, clip in enumerate(clips, start=1):
            clip.save(sounds / f"{number}.flac")
        sheet([clip.plot() for clip in clips], columns=2).save(sounds / "sheet.png")
        (sounds / "prompts.txt").write_text("\n".join(found.prompts[:SHOWN]) + "\n", encoding="utf-8")
    return rows(found)
