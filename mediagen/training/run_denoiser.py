"""A run of a denoiser's recipe: transformer or U-Net, on latents or on pixels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import config
from ..autoencoders.conv import ConvVAE
from ..backbones import build
from ..conditioners.text import TextEncoder
from ..core import path as paths
from ..core import predict, timing
from ..core.denoiser import Denoiser
from . import denoise, pictures, run_autoencoder, weights
from .card import write_card
from .ema import EMA
from .journal import Journal
from .latents import latents_of, pick
from .recipes import DenoiserRecipe
from .sampling import sample_pictures
from .texts import stored
from .trainer import Place, Progress, place, train

Show = Callable[[int, Denoiser], None]


def run(recipe: DenoiserRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/denoiser.safetensors` (averaged weights) at each checkpoint, and `out/card.yaml`, with which
    `mediagen.load(out)` opens the model."""
    here = place()
    media = pictures.fitted(pictures.source(recipe.data, "train", recipe.size), recipe.size)
    torch.manual_seed(recipe.schedule.seed)
    model = start(recipe)
    vae = None if recipe.vae is None else run_autoencoder.load(recipe.vae).to(here.device)
    text = TextEncoder.load(recipe.text).to(here.device)
    density = timing.find(**recipe.density)
    journal = Journal(out, recipe.schedule.log_every)
    batch = batches(recipe, media, vae, here)
    shows = [show(recipe, vae, text, journal) for show in observers(recipe)]

    def keep(step: int, ema: EMA) -> None:
        network = {k.removeprefix("net."): v for k, v in ema.weights.items()}
        weights.save(out / "denoiser.safetensors", network, header(recipe, step))
        write_card(recipe, out)
        if shows:
            average = fresh(recipe).to(here.device).eval()
            average.load_state_dict(ema.weights)
            for show in shows:
                show(step, average)

    told = texts(recipe, text, media, here)
    player = denoise.player(model, told, batch, density, recipe.dropout, here.seed(recipe.schedule.seed))
    yield from train([player], recipe.schedule, out, keep, journal)


def texts(recipe: DenoiserRecipe, text: TextEncoder, media: pictures.Source, here: Place) -> denoise.Text:
    """Stored captions where the run sees more of them than there are; a short run encodes what it sees."""
    seen, there = recipe.schedule.steps * recipe.batch, len(media) * len(media.captions(0))
    return stored(text, recipe.text, media, recipe.data, here) if seen >= there else text


def fresh(recipe: DenoiserRecipe) -> Denoiser:
    """The recipe's network with random weights, as a denoiser."""
    return Denoiser(build(recipe.backbone, recipe.model), *process(recipe))


def start(recipe: DenoiserRecipe) -> Denoiser:
    """The denoiser to train: new or from `init`, compiled if the recipe says so."""
    model = fresh(recipe)
    if recipe.init:
        weights.fill(model.net, recipe.init)
    if recipe.compile:
        if not hasattr(model.net, "blocks"):
            raise ValueError(f"compile: a {recipe.backbone} has no transformer blocks to compile; leave it out")
        for block in model.net.blocks:
            block.compile(dynamic=False)
    return model


def batches(
    recipe: DenoiserRecipe, media: pictures.Source, vae: ConvVAE | None, here: Place
) -> Callable[[int], denoise.Batch]:
    """step -> clean states [B, C, *grid] and captions, this process' share of them."""
    clean = cleans(recipe, media, vae, here)
    places = pictures.repeated(media, recipe.repeat)

    def batch(step: int) -> denoise.Batch:
        chosen = places[denoise.shuffled(recipe.schedule.seed, step, recipe.batch, len(places))]
        told = np.random.default_rng((recipe.schedule.seed, step, 1)).integers(1 << 30, size=len(chosen))
        chosen, told = here.share(chosen), here.share(told)
        captions = [media.captions(int(i)) for i in chosen]
        return clean(chosen), [c[k % len(c)] for c, k in zip(captions, told, strict=True)]

    return batch


def cleans(
    recipe: DenoiserRecipe, media: pictures.Source, vae: ConvVAE | None, here: Place
) -> Callable[[np.ndarray], Tensor]:
    """Indices -> clean states: cached latents, or the pixels themselves where there is no autoencoder."""
    if vae is None:
        return lambda chosen: pictures.whole(media, map(int, chosen))
    cache = latents_of(media, vae, recipe.vae, recipe.data, here)
    return lambda chosen: pick(cache, chosen)


def observers(recipe: DenoiserRecipe) -> list[Callable[..., Show]]:
    """What the recipe wants to see at each checkpoint."""
    return [*([heldout_loss] if recipe.heldout else []), *([heldout_samples] if recipe.samples else [])]


def heldout_loss(recipe: DenoiserRecipe, vae: ConvVAE | None, text: TextEncoder, journal: Journal) -> Show:
    """The loss of the averaged weights on the first held-out scenes, always with the same noise and times."""
    x0, captions = heldout(recipe, vae, text, recipe.heldout)

    @torch.no_grad()
    def show(step: int, average: Denoiser) -> None:
        fixed = denoise.player(average, text, lambda _: (x0, captions), timing.find(**recipe.density), 0.0, seed=0)
        journal.numbers(step, {f"heldout/{name}": float(value) for name, value in fixed.loss(0).items()})

    return show


def heldout_samples(recipe: DenoiserRecipe, vae: ConvVAE | None, text: TextEncoder, journal: Journal) -> Show:
    """Pictures of the first held-out captions, always from the same noise."""
    x0, captions = heldout(recipe, vae, text, recipe.samples)
    decode = (lambda z: z) if vae is None else vae.decode
    cond, null = text(captions), text.null(len(captions))

    def show(step: int, average: Denoiser) -> None:
        journal.pictures(step, "samples", decode(sample_pictures(average, x0, cond, null)))

    return show


def heldout(recipe: DenoiserRecipe, vae: ConvVAE | None, text: TextEncoder, count: int) -> tuple[Tensor, list[str]]:
    """Clean states [count, C, *grid] and captions of the first held-out scenes (of a user's folder: the first ones)."""
    media = pictures.fitted(pictures.source(recipe.data, "heldout", recipe.size), recipe.size)
    x = pictures.whole(media, range(count)).to(text.empty.device)
    with torch.no_grad():
        return x if vae is None else vae.encode(x), [media.captions(i % len(media))[0] for i in range(count)]


def process(recipe: DenoiserRecipe) -> tuple[paths.Path, predict.Row]:
    """The path and the prediction that a recipe names."""
    return paths.find(**recipe.path), predict.find(recipe.prediction)


def header(recipe: DenoiserRecipe, step: int) -> dict[str, Any]:
    """What a weights file says of itself: the network, and the path and prediction that it was trained with."""
    names = ("backbone", "model", "path", "prediction")
    return {"kind": "denoiser", "step": step, **{n: config.plain(getattr(recipe, n)) for n in names}}
