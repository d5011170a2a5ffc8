"""How well the shipped model follows held-out captions: the figures of its card (`mediagen bench quality`)."""

from pathlib import Path

import numpy as np

from .. import load
from ..metrics.evaluate import evaluate
from ..metrics.evaluate import table as rows
from ..modalities.image import Image, sheet

DATA = Path("data/scenes-small")


def check_built(data: str | Path, world: str) -> None:
    """ValueError unless the data set is there."""
    if not (Path(data) / "world.json").exists():
        raise ValueError(f"{data} is not there: build it with `mediagen data build {world}`, then run this again")


def table(
    data: str | Path = DATA, model: str | Path = "mini-image", count: int = 256, pictures: Path | None = None
) -> str:
    """A markdown table of accuracies beside those of real scenes. ValueError if the data set has not been built.

    pictures: a file for a contact sheet of the first 64, unpicked.
    """
    check_built(data, "scenes")
    pipeline = load(model)

    def generate(prompts: list[str], seed: int) -> np.ndarray:
        return np.stack([p.numpy() for p in pipeline.generate(prompts, seed=seed)])

    found = evaluate(generate, data, count=count)
    if pictures is not None:
        sheet([Image(p) for p in found.made[:64]], columns=8).save(pictures)
    return rows(found)
