"""A run of an autoencoder's recipe."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import config
from ..autoencoders.conv import ConvVAE
from ..autoencoders.whitened import Whitened
from . import pictures, weights
from .ema import EMA
from .journal import Journal
from .recipes import AutoencoderRecipe
from .reconstruct import measure_latents, players, psnr
from .trainer import Progress, place, train

MEASURED = 512  # pictures from which the whitening is measured


def run(recipe: AutoencoderRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/vae.safetensors` (averaged weights, whitening measured) at each checkpoint."""
    media = pictures.source(recipe.data, "train", recipe.crop)
    pictures.check_crop(media, recipe.crop)
    if recipe.decoder_only and not recipe.init:
        raise ValueError("decoder_only keeps the encoder of other weights: name them as init")
    if recipe.loss.drift and not recipe.init:
        raise ValueError("drift is the distance from the latents of other weights: name them as init")
    torch.manual_seed(recipe.schedule.seed)
    vae = start(recipe)
    journal = Journal(out, recipe.schedule.log_every)
    here = place()

    def batch(step: int) -> Tensor:
        rng = np.random.default_rng((recipe.schedule.seed, step))
        chosen = pictures.crops(media, rng, recipe.batch, recipe.crop)
        return here.share(chosen).to(here.device, memory_format=torch.channels_last)

    show = shown(recipe, journal) if recipe.samples else None

    def keep(step: int, ema: EMA) -> None:
        final = ConvVAE(recipe.model).to(here.device)
        final.load_state_dict(ema.weights)
        if not recipe.decoder_only:
            count = -(-min(MEASURED, len(media)) // 64)
            measure_latents(final, lambda i: pictures.whole(media, range(64 * i, 64 * i + 64)).to(here.device), count)
        about = {"kind": "conv_vae", "step": step, "config": config.plain(recipe.model)}
        weights.save(out / "vae.safetensors", final.state_dict(), about)
        if show is not None:
            show(step, final)

    yield from train(
        players(vae, recipe.loss, batch, here.seed(recipe.schedule.seed)), recipe.schedule, out, keep, journal
    )


def start(recipe: AutoencoderRecipe) -> ConvVAE:
    """A new autoencoder, or that of `init`, with its encoder frozen if only the decoder is to be trained."""
    vae = ConvVAE(recipe.model).to(memory_format=torch.channels_last)
    if recipe.init and recipe.decoder_only:
        fill_encoder(vae, weights.load(recipe.init)[0], recipe.init)
    elif recipe.init:
        weights.fill(vae, recipe.init)
    if recipe.decoder_only:
        vae.encoder.requires_grad_(False)
    return vae


def fill_encoder(vae: Whitened, theirs: Mapping[str, Tensor], init: str, own: Collection[str] = ()) -> None:
    """Load the encoder and the whitening of the weights `theirs` (of the file `init`), and of its decoder the last
    layers as far as they are the same: a decoder that draws finer then begins with one that draws. own: names that are
    not expected there. ValueError if the encoder is another."""
    mine = vae.decoder.state_dict()
    added = layers_of(mine) - layers_of({k.removeprefix("decoder."): v for k, v in theirs.items() if "decoder" in k})
    for name, value in theirs.items():
        if name.startswith("decoder.layers."):
            number, rest = name.removeprefix("decoder.layers.").split(".", 1)
            later = f"layers.{int(number) + added}.{rest}"
            if later in mine and mine[later].shape == value.shape:
                mine[later] = value
    before = vae.state_dict()
    others = {k: v for k, v in theirs.items() if not k.startswith("decoder.")} | {k: before[k] for k in own}
    try:
        vae.load_state_dict({**others, **{f"decoder.{k}": v for k, v in mine.items()}})
    except RuntimeError as error:
        raise ValueError(f"the encoder of {init} is not that of the recipe: {error}") from error


def layers_of(decoder: Mapping[str, Tensor]) -> int:
    """How many layers the weights of a decoder name."""
    return 1 + max(int(name.split(".")[1]) for name in decoder if name.startswith("layers."))


def shown(recipe: AutoencoderRecipe, journal: Journal) -> Callable[[int, ConvVAE], None]:
    """A function that writes held-out pictures beside their reconstructions, and their PSNR, to the journal."""
    media = pictures.source(recipe.data, "heldout", recipe.crop)
    real = pictures.whole(media, range(recipe.samples))

    @torch.no_grad()
    def show(step: int, vae: ConvVAE) -> None:
        device = next(vae.parameters()).device
        again = vae.decode(vae.encode(real.to(device))).cpu()
        journal.numbers(step, {"heldout/psnr": float(psnr(again, real))})
        journal.pictures(step, "reconstructed", torch.cat([real, again], dim=3))

    return show
