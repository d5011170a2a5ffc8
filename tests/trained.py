"""What all tests of training do: run a recipe and look at its losses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mediagen.training import checkpoint, recipes, run_audio_autoencoder, run_video_autoencoder


def losses(recipe: Any, out: Path, stop: int | None = None) -> list[Mapping[str, float]]:
    """The losses of a run, left after `stop` steps if that is given."""
    rooms = {
        run_audio_autoencoder.AudioRecipe: run_audio_autoencoder,
        run_video_autoencoder.VideoAutoencoderRecipe: run_video_autoencoder,
    }
    room = next((room for kind, room in rooms.items() if isinstance(recipe, kind)), recipes)
    seen = []
    for progress in room.run(recipe, out):
        seen.append(progress.losses)
        if progress.step == stop:
            break
    return seen


def resumed_equals_straight(recipe: Any, tmp_path: Path) -> None:
    """Six steps, and three and three with a resume between, have the same losses and averaged weights."""
    straight = losses(recipe, tmp_path / "straight")
    halves = losses(recipe, tmp_path / "halves", stop=3) + losses(recipe, tmp_path / "halves")
    assert len(straight) == len(halves) == 6
    assert straight == halves  # to the last bit
    one, other = (checkpoint.load(tmp_path / run / "last.pt")["ema"] for run in ("straight", "halves"))
    assert all(torch.equal(one[k], other[k]) for k in one)
