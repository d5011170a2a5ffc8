"""How well the shipped model of video follows held-out captions: the figures of its card."""

from pathlib import Path
from typing import Any

import numpy as np

from .. import load
from ..metrics.motion_evaluate import evaluate
from ..metrics.motion_evaluate import table as rows
from ..metrics.motion_reader import MotionReader
from ..modalities.image import sheet
from ..modalities.video import Video
from .quality import check_built

DATA = Path("data/motion-small")
SHOWN, FRAMES = 16, 6  # clips, and frames of each


def table(
    data: str | Path = DATA,
    model: str | Path = "mini-video",
    count: int = 128,
    clips: Path | None = None,
    reader: MotionReader | None = None,
    **options: Any,
) -> str:
    """A markdown table of accuracies and steadiness beside those of real clips. ValueError if the data set has not been
    built.

    clips: a folder for the first clips, unpicked, their prompts, and a sheet of their frames. options: as for
    `generate`.
    """
    check_built(data, "motion")
    pipeline = load(model)

    def generate(prompts: list[str], seed: int, **walk: Any) -> list[np.ndarray]:
        return [clip.numpy() for clip in pipeline.generate(list(prompts), seed=seed, **walk)]

    found = evaluate(generate, data, count=count, reader=reader, **options)
    if clips is not None:
        clips.mkdir(parents=True, exist_ok=True)
        made = [Video.from_tensor(x, pipeline.rate) for x in found.made[:SHOWN]]
        for number, clip in enumerate(made, start=1):
            clip.save(clips / f"{number}.mp4")
        frames = [clip.image(round(i)) for clip in made for i in np.linspace(0, clip.count - 1, FRAMES)]
        sheet(frames, columns=2 * FRAMES).save(clips / "sheet.png")
        (clips / "prompts.txt").write_text("\n".join(found.prompts[:SHOWN]) + "\n", encoding="utf-8")
    return rows(found)
