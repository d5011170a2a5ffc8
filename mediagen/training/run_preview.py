"""A run of a preview decoder's recipe."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from .. import config
from ..autoencoders.base import smaller
from ..autoencoders.preview import Preview
from . import pictures, weights
from .denoise import shuffled
from .ema import EMA
from .journal import Journal
from .recipes import PreviewRecipe
from .reconstruct import edges, psnr
from .trainer import Player, Progress, place, train


def run(recipe: PreviewRecipe, out: Path) -> Iterator[Progress]:
    """Train on cached latents and shrunk pictures, writing `out/preview.safetensors` (averaged) at each checkpoint."""
    here = place()
    media = pictures.fitted(pictures.source(recipe.data, "train", recipe.size), recipe.size)
    vae = weights.load_autoencoder(recipe.vae).to(here.device)
    factor = shrinks(recipe, vae.spec.stride[0], vae.spec.channels)
    cache = pictures.latents_of(media, vae, recipe.vae, recipe.data, here)
    torch.manual_seed(recipe.schedule.seed)
    preview = Preview(recipe.model)
    journal = Journal(out, recipe.schedule.log_every)

    def loss(step: int) -> dict[str, Tensor]:
        chosen = here.share(shuffled(recipe.schedule.seed, step, recipe.batch, len(media)))
        goal = smaller(pictures.whole(media, map(int, chosen)), factor).to(here.device)
        made = preview(pictures.pick(cache, chosen).to(here.device))
        terms = {"absolute": (made - goal).abs().mean(), "edges": edges(made - goal)}
        return {"loss": terms["absolute"] + 0.5 * terms["edges"], **terms, "psnr": psnr(made.detach(), goal)}

    def keep(step: int, ema: EMA) -> None:
        about = {"kind": "preview", "step": step, "config": config.plain(recipe.model)}
        weights.save(out / "preview.safetensors", ema.weights, about)
        if recipe.samples:
            average = Preview(recipe.model).to(here.device)
            average.load_state_dict(ema.weights)
            show(recipe, average, vae, factor, journal, step)

    yield from train([Player(name="preview", module=preview, loss=loss)], recipe.schedule, out, keep, journal)


def shrinks(recipe: PreviewRecipe, stride: int, channels: int) -> int:
    """How many times smaller than the media the preview is. ValueError if it does not fit the autoencoder."""
    if recipe.model.latent_channels != channels:
        raise ValueError(f"latent_channels is {recipe.model.latent_channels}, the autoencoder has {channels}")
    if stride % recipe.model.grow:
        raise ValueError(f"grow is {recipe.model.grow}; it must divide the autoencoder's stride {stride}")
    return stride // recipe.model.grow


@torch.no_grad()
def show(
    recipe: PreviewRecipe, preview: Preview, vae: torch.nn.Module, factor: int, journal: Journal, step: int
) -> None:
    """Held-out pictures, shrunk, above what the preview makes of their latents."""
    media = pictures.fitted(pictures.source(recipe.data, "heldout", recipe.size), recipe.size)
    real = pictures.whole(media, range(recipe.samples))
    made = preview(vae.encode(real.to(next(vae.parameters()).device))).cpu()
    goal = smaller(real, factor)
    journal.numbers(step, {"heldout/psnr": float(psnr(made, goal))})
    journal.pictures(step, "previews", torch.cat([goal, made], dim=3))
