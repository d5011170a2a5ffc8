"""The run that learns a control network: of a model of this project, or of a published checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .training import run_control
from .training.run_control import ControlRecipe
from .training.trainer import Progress

INDEX = "model_index.json"  # of a checkpoint in diffusers' layout


def run(recipe: ControlRecipe, out: Path) -> Iterator[Progress]:
    """Train what the recipe says into `out`, resuming what is there; `control=` takes the folder."""
    if not (Path(recipe.model) / INDEX).is_file():
        return run_control.run(recipe, out)
    from .families import _control_training

    return _control_training.run(recipe, out)
