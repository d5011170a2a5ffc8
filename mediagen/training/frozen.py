"""A trained model that stays as it is, and the run of what is learned beside it: LoRA, control branches.

Path, prediction, loss and media are those that its denoiser was trained with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import config
from ..autoencoders.base import LatentSpec
from ..autoencoders.whitened import Whitened
from ..conditioners.scalar import Scalar
from ..conditioners.text import TextEncoder
from ..core import timing
from ..core.denoiser import Denoiser
from . import denoise, medium, run_denoiser, weights
from .denoise import Conditioning
from .medium import Medium
from .recipes import SHIPPED_TEXT, DenoiserRecipe
from .trainer import Place, Player, Schedule, place

SHIPPED = Path(SHIPPED_TEXT).parent
PIXELS = LatentSpec(channels=3, stride=(1, 1))  # of a model without an autoencoder


@dataclass(frozen=True, kw_only=True)
class FrozenRecipe:
    """What all recipes of things learned beside a model say. model: a shipped one by name, or the folder of one that
    was trained; data: as in `DenoiserRecipe`, and so all the rest."""

    model: str
    data: str
    size: int = 128
    frames: int = 17
    rate: float = 8.0
    seconds: float = 10.0
    density: dict[str, Any] = field(default_factory=lambda: {"name": "LogNormal"})
    dropout: float = 0.1
    batch: int = 16
    schedule: Schedule


SEEN = tuple(each.name for each in fields(FrozenRecipe) if each.name != "model")  # of the denoiser's recipe too


@dataclass(frozen=True, kw_only=True, eq=False)
class Frozen:
    """recipe: what the model's denoiser would go on with; model, vae: its parts, frozen, on this process' device."""

    recipe: DenoiserRecipe
    here: Place
    model: Denoiser
    vae: Whitened | None

    @property
    def spec(self) -> LatentSpec:
        return PIXELS if self.vae is None else self.vae.spec

    def player(
        self,
        name: str,
        module: nn.Module,
        model: Denoiser | None = None,
        seen: Callable[[Medium], Medium] = lambda media: media,
    ) -> Player:
        """What learns `module`, a part of `model` (None: of the one here), by the loss of the denoiser. seen: what else
        is seen of the examples."""
        recipe, here, net = self.recipe, self.here, self.model.net
        media = seen(medium.find(recipe, self.vae, net.config.multiple, here))
        condition = Conditioning(text=TextEncoder.load(recipe.text).to(here.device), scalars=recipe.scalars)
        batch = run_denoiser.batches(recipe, media, here, getattr(net.config, "patch", ()))
        density, seed = timing.find(**recipe.density), here.seed(recipe.schedule.seed)
        made = denoise.player(model or self.model, condition, batch, density, recipe.dropout, seed)
        return replace(made, name=name, module=module)


def opened(recipe: FrozenRecipe) -> Frozen:
    """The model that a recipe names, `recipe.model`: a shipped one, or the folder of one that was trained. What it sees
    of `SEEN` is the recipe's. ValueError if there is none, or its data do not fit."""
    here, base = place(), based(recipe)
    torch.manual_seed(recipe.schedule.seed)
    model = run_denoiser.start(base).to(here.device).requires_grad_(False)
    vae = None if base.vae is None else weights.load_autoencoder(base.vae).to(here.device)
    return Frozen(recipe=base, here=here, model=model, vae=vae)


def based(recipe: FrozenRecipe) -> DenoiserRecipe:
    """The recipe that goes on with the model's own denoiser, whose sizes, path and prediction its weights say."""
    folder = SHIPPED / recipe.model if (SHIPPED / recipe.model).is_dir() else Path(recipe.model)
    card = _card(folder)
    denoiser = folder / card["denoiser"]
    _, about = weights.load(denoiser)
    model = {name: value for name, value in about["model"].items() if name != "scalars"}
    scalars = tuple(config.build(Scalar, each, f"{folder / 'card.yaml'}: scalars") for each in card.get("scalars", ()))
    return DenoiserRecipe(
        modality=card["modality"],
        vae=str(folder / card["autoencoder"]) if card.get("autoencoder") else None,
        text=str(folder / card["text"]) if card.get("text") else SHIPPED_TEXT,
        scalars=scalars,
        backbone=about["backbone"],
        model=model,
        path=about["path"],
        prediction=about["prediction"],
        init=str(denoiser),
        **{name: getattr(recipe, name) for name in SEEN},
    )


def _card(folder: Path) -> dict[str, Any]:
    import yaml

    try:
        return yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{folder} is no shipped model and holds no readable card.yaml: {error}") from error
