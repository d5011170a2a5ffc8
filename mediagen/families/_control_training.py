"""A run of a control network's recipe for a published checkpoint: a ControlNet of diffusers, the copy of its U-Net's
first half (arXiv:2302.05543), learned with the loss, path and prediction that the checkpoint is sampled with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..conditioners import hints
from ..core import denoiser as core
from ..core import timing
from ..modalities.replacing import replacing
from ..request import Control, Request, Source
from ..training import denoise, pictures, weights
from ..training.ema import EMA
from ..training.journal import Journal
from ..training.run_control import ControlRecipe
from ..training.trainer import Place, Player, Progress, place, train
from . import published
from ._control import ControlNet, Reader
from ._quiet import quiet
from .model import Model

FILE, ABOUT = "diffusion_pytorch_model.safetensors", "config.json"
HINTS = (16, 32, 96, 256)  # widths in which a picture becomes as coarse as the latents
ASKED = Control(path="", hash="", image=Source(path=None, sha256=""))


def run(recipe: ControlRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing a folder of diffusers' (averaged weights) at each checkpoint; resumes what is there. ValueError
    for a checkpoint that is no Stable Diffusion or SDXL."""
    torch.manual_seed(recipe.schedule.seed)
    here, model = place(), published.load(recipe.model)
    reader = model.adapts.control
    if not isinstance(reader, Reader) or not reader.kinds[0].unet or model.modality != "image":
        raise ValueError(f"control networks are learned for Stable Diffusion and SDXL, and {recipe.model} is neither")
    network = fresh(reader.denoiser, model.spec.stride[0]).to(here.device)
    reader.denoiser.to(here.device)
    control = ControlNet(path="", hash="", network=network, kind=reader.kinds[0], net=reader.net)
    player = Player(name="control", module=network, loss=loss_of(recipe, model, control, here))

    def keep(step: int, ema: EMA) -> None:
        weights.save(out / FILE, ema.weights, {"kind": "controlnet", "step": step, "hint": recipe.hint})
        with replacing(out / ABOUT) as temporary:
            network.to_json_file(temporary)

    yield from train([player], recipe.schedule, out, keep, Journal(out, recipe.schedule.log_every))


def fresh(unet: Any, stride: int) -> nn.Module:
    """A control network that changes nothing yet, for a U-Net of latents this much coarser than pictures."""
    from diffusers import ControlNetModel

    levels = int(math.log2(stride)) + 1
    if levels > len(HINTS):
        raise ValueError(f"latents {stride} times coarser than pictures are not supported, {2 ** (len(HINTS) - 1)} are")
    with quiet():
        return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINTS[:levels])


def loss_of(
    recipe: ControlRecipe, model: Model, control: ControlNet, here: Place
) -> Callable[[int], dict[str, Tensor]]:
    """step -> the losses of its batch. All that is drawn is a function of (seed, step)."""
    source = pictures.fitted(pictures.source(recipe.data, "train", recipe.size), recipe.size)
    density, hint, seed = timing.find(**recipe.density), hints.find(recipe.hint), recipe.schedule.seed
    told = model.told(_request(recipe), 1)
    led = model.denoiser.hinted(lambda x, t, told, cond: control(x, told, cond, cond["hint"], ASKED))

    def loss(step: int) -> dict[str, Tensor]:
        rng, draw = (
            np.random.default_rng((seed, step)),
            torch.Generator().manual_seed(here.seed(seed) * 1_000_003 + step),
        )
        chosen = denoise.shuffled(seed, step, recipe.batch, len(source))
        captions = [_drawn(source.captions(i), rng, recipe.dropout) for i in chosen]
        shown = pictures.whole(source, here.share(chosen)).to(here.device)
        with torch.no_grad():
            x0 = model.autoencoder.encode(shown)
            cond = {name: value.to(here.device) for name, value in model.text(here.share(captions)).items()}
            cond |= {name: value.expand(len(x0), *value.shape[1:]).to(x0) for name, value in told.items()}
            cond["hint"] = control.shown(hints.each(hint, shown.cpu())).to(x0)
        eps = torch.randn(x0.shape, generator=draw).to(x0)
        t = timing.draw(density, denoise.stratified(len(x0), draw), model.denoiser.path).float().to(x0.device)
        return {"loss": core.loss(led, x0, eps, t, cond).mean()}

    return loss


def _drawn(captions: tuple[str, ...], rng: np.random.Generator, dropout: float) -> str:
    """One of a picture's captions, or nothing (classifier-free guidance, arXiv:2207.12598)."""
    said = captions[int(rng.integers(len(captions)))]
    return "" if rng.random() < dropout else said


def _request(recipe: ControlRecipe) -> Request:
    """What a checkpoint is told of pictures of this size."""
    return Request(prompts=(), size=(recipe.size, recipe.size), seed=0, model="", model_hash="", version="")
