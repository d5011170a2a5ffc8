"""Recipes: one YAML file each under configs/, read into these dataclasses and run by `run`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import config
from ..autoencoders.conv import ConvVAE, ConvVAEConfig
from ..backbones import build
from ..conditioners.text import TextEncoder
from ..core import predict, timing
from ..core import path as paths
from ..core.denoiser import Denoiser
from . import denoise, latents, pictures, weights
from .ema import EMA
from .reconstruct import ReconstructionLoss, measure_latents, players
from .trainer import Progress, Schedule, train


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """data: a built dataset, or a folder of pictures; crop: side of the random crops; init: weights to start from;
    decoder_only: keep the encoder, and so the latent space, as it is."""

    kind: str = "autoencoder"
    data: str
    crop: int = 64
    batch: int = 32
    init: str | None = None
    decoder_only: bool = False
    model: ConvVAEConfig = field(default_factory=ConvVAEConfig)
    loss: ReconstructionLoss = field(default_factory=ReconstructionLoss)
    schedule: Schedule


@dataclass(frozen=True, kw_only=True)
class DenoiserRecipe:
    """data: a built dataset, or a folder of pictures with captions, fitted to `size`; vae: its weights, or null for
    training in pixel space; text: folder of the text encoder; backbone and model: the network and its sizes (`backbones`);
    path, prediction, density: names and options in `core`; dropout: share of captions dropped;
    compile: compile the transformer's blocks (needs a C++ compiler; 1.4 times the speed on two cores)."""

    kind: str = "denoiser"
    data: str
    size: int = 128
    vae: str | None = None
    text: str = str(Path(__file__).parents[1] / "weights" / "minilm")
    backbone: str = "dit"
    model: dict[str, Any] = field(default_factory=dict)
    path: dict[str, Any] = field(default_factory=lambda: {"name": "Flow"})
    prediction: str = "flow"
    density: dict[str, Any] = field(default_factory=lambda: {"name": "LogNormal"})
    dropout: float = 0.1
    batch: int = 64
    init: str | None = None
    compile: bool = False
    schedule: Schedule


Recipe = AutoencoderRecipe | DenoiserRecipe


def read(file: str | Path) -> Recipe:
    """A recipe file; its key `kind` says which. ValueError for an unknown kind or key."""
    import yaml

    try:
        values = yaml.safe_load(Path(file).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the recipe {file}: {error}") from error
    kinds = {"autoencoder": AutoencoderRecipe, "denoiser": DenoiserRecipe}
    kind = values.get("kind") if isinstance(values, dict) else None
    if kind not in kinds:
        raise ValueError(f"{file}: kind is {kind!r}; it must be one of {', '.join(kinds)}")
    return config.build(kinds[kind], values, str(file))


def run(recipe: Recipe, out: Path) -> Iterator[Progress]:
    """Train what the recipe says into `out`, resuming what is there."""
    return (run_autoencoder if isinstance(recipe, AutoencoderRecipe) else run_denoiser)(recipe, out)


def run_autoencoder(recipe: AutoencoderRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/vae.safetensors` (averaged weights, whitening measured) at each checkpoint."""
    media = pictures.source(recipe.data, "train", recipe.crop)
    torch.manual_seed(recipe.schedule.seed)
    vae = ConvVAE(recipe.model).to(memory_format=torch.channels_last)
    if recipe.init:
        vae.load_state_dict(weights.load(recipe.init)[0])
    if recipe.decoder_only:
        vae.encoder.requires_grad_(False)

    def batch(step: int) -> Tensor:
        rng = np.random.default_rng((recipe.schedule.seed, step))
        return pictures.crops(media, rng, recipe.batch, recipe.crop).to(memory_format=torch.channels_last)

    def keep(step: int, ema: EMA) -> None:
        final = ConvVAE(recipe.model)
        final.load_state_dict(ema.weights)
        if not recipe.decoder_only:
            measure_latents(final, lambda i: pictures.whole(media, range(64 * i, 64 * i + 64)), count=8)
        weights.save(
            out / "vae.safetensors", final.state_dict(), {"kind": "conv_vae", "config": config.plain(recipe.model)}
        )

    yield from train(players(vae, recipe.loss, batch, recipe.schedule.seed), recipe.schedule, out, keep)


def run_denoiser(recipe: DenoiserRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/denoiser.safetensors` (averaged weights) at each checkpoint."""
    media = pictures.source(recipe.data, "train", recipe.size)
    torch.manual_seed(recipe.schedule.seed)
    model = Denoiser(build(recipe.backbone, recipe.model), *process(recipe))
    if recipe.init:
        model.net.load_state_dict(weights.load(recipe.init)[0])
    if recipe.compile:
        for block in model.net.blocks:
            block.compile(dynamic=False)
    text = TextEncoder.load(recipe.text)
    clean = latents_of(recipe, media)

    def batch(step: int) -> denoise.Batch:
        chosen = denoise.shuffled(recipe.schedule.seed, step, recipe.batch, len(media))
        told = np.random.default_rng((recipe.schedule.seed, step, 1)).integers(1 << 30, size=len(chosen))
        captions = [media.captions(int(i)) for i in chosen]
        return clean(chosen), [c[k % len(c)] for c, k in zip(captions, told, strict=True)]

    def keep(step: int, ema: EMA) -> None:
        network = {k.removeprefix("net."): v for k, v in ema.weights.items()}
        weights.save(out / "denoiser.safetensors", network, header(recipe, step))

    density = timing_of(recipe.density)
    player = denoise.player(model, text, batch, density, recipe.dropout, recipe.schedule.seed)
    yield from train([player], recipe.schedule, out, keep)


def process(recipe: DenoiserRecipe) -> tuple[paths.Path, predict.Row]:
    """The path and the prediction that a recipe names."""
    return path_of(recipe.path), predict.find(recipe.prediction)


def path_of(spec: dict[str, Any]) -> paths.Path:
    """{"name": "Flow", ...options} -> a path of `core.path`."""
    return named(paths, spec, "path")


def timing_of(spec: dict[str, Any]) -> timing.Timing:
    """{"name": "LogNormal", ...options} -> a timing of `core.timing`."""
    return named(timing, spec, "timing")


def named(module: Any, spec: dict[str, Any], what: str) -> Any:
    options = dict(spec)
    kind = getattr(module, str(options.pop("name", "")), None)
    if not isinstance(kind, type):
        raise ValueError(f"unknown {what} {spec!r}: give the name of a class of {module.__name__}")
    try:
        return kind(**options)
    except TypeError as error:
        raise ValueError(f"{what} {spec!r}: {error}") from error


def header(recipe: DenoiserRecipe, step: int) -> dict[str, Any]:
    """What a weights file says of itself: the network, and the path and prediction that it was trained with."""
    names = ("backbone", "model", "path", "prediction")
    return {"kind": "denoiser", "step": step, **{n: config.plain(getattr(recipe, n)) for n in names}}


def latents_of(recipe: DenoiserRecipe, media: pictures.Source):
    """Indices -> clean states [B, C, *grid]: cached latents, or the pixels themselves where there is no autoencoder."""
    if recipe.vae is None:
        return lambda chosen: pictures.whole(media, map(int, chosen))
    tensors, about = weights.load(recipe.vae)
    vae = ConvVAE(config.build(ConvVAEConfig, about["config"]))
    vae.load_state_dict(tensors)
    name = sha256(Path(recipe.vae).read_bytes()).hexdigest()[:12]
    cache = latents.cached(media, vae.eval(), Path(recipe.data) / "train" / f"latents-{name}.npy")
    return lambda chosen: latents.pick(cache, chosen)
