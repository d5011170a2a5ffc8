"""The card that makes a run folder a model: `mediagen.load(folder)` reads it."""

import os
from pathlib import Path
from typing import Any

from .. import config
from .recipes import SHIPPED_TEXT, DenoiserRecipe


def write_card(recipe: DenoiserRecipe, out: Path, medium: dict[str, Any]) -> None:
    """Write `out/card.yaml`: what it makes (`medium`: modality and size), the parts, where they lie, and how to sample.
    A text that is null is the encoder that ships: a run folder may be moved to another machine."""
    import yaml

    card = {
        "name": out.resolve().name,
        "family": "native",
        **medium,
        "denoiser": "denoiser.safetensors",
        "autoencoder": seen_from(out, recipe.vae),
        "preview": seen_from(out, recipe.preview),
        "text": None if Path(recipe.text) == Path(SHIPPED_TEXT) else seen_from(out, recipe.text),
        **({"scalars": [config.plain(scalar) for scalar in recipe.scalars]} if recipe.scalars else {}),
        **({"known": True} if recipe.known else {}),
        **({"signals": sorted(recipe.signals)} if recipe.signals else {}),
        "defaults": {"steps": 20, "guidance": 4.0, "solver": "dpmpp_2m", "timing": {"name": "Uniform"}},
    }
    (out / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False), encoding="utf-8")


def seen_from(folder: Path, file: str | None) -> str | None:
    """A path that a recipe gives, as seen from `folder`; absolute ones stay as they are."""
    if file is None or Path(file).is_absolute():
        return file
    return Path(os.path.relpath(file, folder)).as_posix()
