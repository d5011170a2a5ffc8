"""A run of a LoRA's recipe: low-rank adapters (arXiv 2106.09685) of a trained denoiser's layers, on data of one's own.

The denoiser stays as it is; what is learned is a folder that `lora=` takes, in peft's layout. Path, prediction, loss
and media are those that the denoiser was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..modalities.replacing import replacing
from ..nn import lora
from . import frozen, weights
from .ema import EMA
from .journal import Journal
from .trainer import Progress, train

FILE, ABOUT = "adapter_model.safetensors", "adapter_config.json"  # of peft's folders


@dataclass(frozen=True, kw_only=True)
class LoraRecipe(frozen.FrozenRecipe):
    """rank, alpha: of the adapters, alpha / rank times what they say is added; layers: ends of the names of the layers
    that get one, () for all linear ones."""

    kind: str = "lora"
    rank: int = 8
    alpha: float = 8.0
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0:
            raise ValueError(f"rank must be 1 or more and alpha above 0, not {self.rank} and {self.alpha}")


KINDS: dict[str, type] = {"lora": LoraRecipe}


def run(recipe: LoraRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/adapter_model.safetensors` (averaged weights) and `out/adapter_config.json` at each
    checkpoint; resumes what is there."""
    there = frozen.opened(recipe)
    layers = chosen(there.model.net, recipe.layers)
    adapters = nn.ModuleDict({key_of(name): fresh(layer, name, recipe) for name, layer in layers.items()})
    adapters.to(there.here.device)
    player = there.player("lora", adapters)

    def keep(step: int, ema: EMA) -> None:
        save(out, ema.weights, list(layers), recipe, step)

    with lora.attached({layer: adapters[key_of(name)] for name, layer in layers.items()}):
        yield from train([player], recipe.schedule, out, keep, Journal(out, recipe.schedule.log_every))


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
