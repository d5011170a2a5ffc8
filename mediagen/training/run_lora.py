"""A run of a LoRA's recipe: low-rank adapters (arXiv 2106.09685) of a trained denoiser's layers, on data of one's own.

The denoiser stays as it is; what is learned is a folder that `lora=` takes, in peft's layout. Path, prediction, loss
and media are those that the denoiser was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import config
from ..conditioners.scalar import Scalar
from ..conditioners.text import TextEncoder
from ..core import timing
from ..modalities.replacing import replacing
from ..nn import lora
from . import denoise, medium, run_denoiser, weights
from .denoise import Conditioning
from .ema import EMA
from .journal import Journal
from .recipes import SHIPPED_TEXT, DenoiserRecipe
from .trainer import Progress, Schedule, place, train

SHIPPED = Path(SHIPPED_TEXT).parent
FILE, ABOUT = "adapter_model.safetensors", "adapter_config.json"  # of peft's folders


@dataclass(frozen=True, kw_only=True)
class LoraRecipe:
    """model: a shipped model by name, or the folder of one that was trained; data: as in `DenoiserRecipe`, and so size,
    frames, seconds, density, dropout and batch; rank, alpha: of the adapters, alpha / rank times what they say is
    added; layers: ends of the names of the layers that get one, () for all linear ones."""

    kind: str = "lora"
    model: str
    data: str
    rank: int = 8
    alpha: float = 8.0
    layers: tuple[str, ...] = ()
    size: int = 128
    frames: int = 17
    rate: float = 8.0
    seconds: float = 10.0
    density: dict[str, Any] = field(default_factory=lambda: {"name": "LogNormal"})
    dropout: float = 0.1
    batch: int = 16
    schedule: Schedule

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0:
            raise ValueError(f"rank must be 1 or more and alpha above 0, not {self.rank} and {self.alpha}")


KINDS: dict[str, type] = {"lora": LoraRecipe}


def run(recipe: LoraRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/adapter_model.safetensors` (averaged weights) and `out/adapter_config.json` at each
    checkpoint; resumes what is there."""
    here, base = place(), based(recipe)
    torch.manual_seed(recipe.schedule.seed)
    model = run_denoiser.start(base).to(here.device).requires_grad_(False)
    layers = chosen(model.net, recipe.layers)
    adapters = nn.ModuleDict({key_of(name): fresh(layer, name, recipe) for name, layer in layers.items()})
    adapters.to(here.device)
    vae = None if base.vae is None else weights.load_autoencoder(base.vae).to(here.device)
    media = medium.find(base, vae, model.net.config.multiple, here)
    text = TextEncoder.load(base.text).to(here.device)
    condition = Conditioning(text=text, scalars=base.scalars)
    batch = run_denoiser.batches(base, media, here, getattr(model.net.config, "patch", ()))
    density, seed = timing.find(**recipe.density), here.seed(recipe.schedule.seed)
    player = denoise.player(model, condition, batch, density, recipe.dropout, seed)

    def keep(step: int, ema: EMA) -> None:
        save(out, ema.weights, list(layers), recipe, step)

    with lora.attached({layer: adapters[key_of(name)] for name, layer in layers.items()}):
        players = [replace(player, name="lora", module=adapters)]
        yield from train(players, recipe.schedule, out, keep, Journal(out, recipe.schedule.log_every))


def based(recipe: LoraRecipe) -> DenoiserRecipe:
    """The recipe that goes on with the model's own denoiser, whose sizes, path and prediction its weights say."""
    folder = SHIPPED / recipe.model if (SHIPPED / recipe.model).is_dir() else Path(recipe.model)
    card = _card(folder)
    denoiser = folder / card["denoiser"]
    _, about = weights.load(denoiser)
    model = {name: value for name, value in about["model"].items() if name != "scalars"}
    scalars = tuple(config.build(Scalar, each, f"{folder / 'card.yaml'}: scalars") for each in card.get("scalars", ()))
    named = ("data", "size", "frames", "rate", "seconds", "density", "dropout", "batch", "schedule")
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
        **{name: getattr(recipe, name) for name in named},
    )


def _card(folder: Path) -> dict[str, Any]:
    import yaml

    try:
        return yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{folder} is no shipped model and holds no readable card.yaml: {error}") from error


def chosen(net: nn.Module, ends: tuple[str, ...]) -> dict[str, nn.Module]:
    """name -> layer of those that get an adapter; ValueError if there are none."""
    there = {name: layer for name, layer in net.named_modules() if lora.fits(layer)}
    found = {name: layer for name, layer in there.items() if (name.endswith(ends) if ends else _linear(layer))}
    if not found:
        raise ValueError(f"no layer's name ends with {' or '.join(ends)}; layers are {', '.join(list(there)[:8])} ...")
    return found


def _linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)


def fresh(layer: nn.Module, name: str, recipe: LoraRecipe) -> lora.LowRank:
    """An adapter that changes nothing yet; what is drawn of it is a function of the seed and the layer's name."""
    seed = hash_of(f"{recipe.schedule.seed} {name}")
    return lora.LowRank.fresh(layer, recipe.rank, recipe.alpha, torch.Generator().manual_seed(seed))


def hash_of(text: str) -> int:
    from hashlib import sha256

    return int.from_bytes(sha256(text.encode()).digest()[:7], "big")


def key_of(name: str) -> str:
    """A layer's name as that of a module in a dictionary, which has no dots."""
    return name.replace(".", "/")


def save(out: Path, learned: dict[str, torch.Tensor], names: list[str], recipe: LoraRecipe, step: int) -> None:
    """The adapters and their settings, as peft keeps them."""
    tensors = {}
    for name in names:
        for letter, number in (("A", 0), ("B", 1)):
            tensors[f"base_model.model.{name}.lora_{letter}.weight"] = learned[f"{key_of(name)}.factors.{number}"]
    about = {"peft_type": "LORA", "r": recipe.rank, "lora_alpha": recipe.alpha, "target_modules": names}
    about["base_model_name_or_path"] = recipe.model
    weights.save(out / FILE, tensors, {"kind": "lora", "step": step, "model": recipe.model})
    with replacing(out / ABOUT) as temporary:
        temporary.write_text(json.dumps(about, indent=2), encoding="utf-8")
