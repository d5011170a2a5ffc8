"""A run of a preview decoder's recipe, of pictures or of clips."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from .. import config
from ..autoencoders.base import LatentSpec, smaller
from ..autoencoders.preview import Preview, PreviewConfig
from ..autoencoders.whitened import Whitened
from . import medium_video, pictures, videos, weights
from .denoise import shuffled
from .ema import EMA
from .journal import Journal
from .recipes import PreviewRecipe
from .reconstruct import edges, psnr
from .trainer import Place, Player, Progress, place, train


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a preview is trained to show: latents [B, C, *grid] and media [B, 3, *size] by indices, `count` of them."""

    count: int
    latents: Callable[[Sequence[int]], Tensor]
    media: Callable[[Sequence[int]], Tensor]


def run(recipe: PreviewRecipe, out: Path) -> Iterator[Progress]:
    """Train on cached latents and shrunk media, writing `out/preview.safetensors` (averaged) at each checkpoint."""
    here = place()
    vae = weights.load_autoencoder(recipe.vae).to(here.device)
    shrink = shrinks(recipe.model, vae.spec)
    shown = (clips if vae.spec.causal else stills)(recipe, vae, here)
    torch.manual_seed(recipe.schedule.seed)
    preview = Preview(recipe.model)
    journal = Journal(out, recipe.schedule.log_every)

    def loss(step: int) -> dict[str, Tensor]:
        chosen = here.share(shuffled(recipe.schedule.seed, step, recipe.batch, shown.count)).tolist()
        goal = reduced(shown.media(chosen), shrink, vae.spec).to(here.device)
        made = preview(shown.latents(chosen).to(here.device))
        terms = {"absolute": (made - goal).abs().mean(), "edges": edges(made - goal)}
        return {"loss": terms["absolute"] + 0.5 * terms["edges"], **terms, "psnr": psnr(made.detach(), goal)}

    def keep(step: int, ema: EMA) -> None:
        about = {"kind": "preview", "step": step, "config": config.plain(recipe.model)}
        weights.save(out / "preview.safetensors", ema.weights, about)
        if recipe.samples:
            average = Preview(recipe.model).to(here.device)
            average.load_state_dict(ema.weights)
            show(recipe, average, vae, shrink, journal, step)

    yield from train([Player(name="preview", module=preview, loss=loss)], recipe.schedule, out, keep, journal)


def stills(recipe: PreviewRecipe, vae: Whitened, here: Place) -> Shown:
    """A recipe's pictures."""
    media = pictures.fitted(pictures.source(recipe.data, "train", recipe.size), recipe.size)
    cache = pictures.latents_of(media, vae, recipe.vae, recipe.data, here)
    return Shown(
        count=len(media),
        latents=lambda chosen: pictures.pick(cache, chosen),
        media=lambda chosen: pictures.whole(media, chosen),
    )


def clips(recipe: PreviewRecipe, vae: Whitened, here: Place) -> Shown:
    """A recipe's clips, in the stretches and latents of a denoiser's training."""
    media = videos.source(recipe.data, "train", recipe.size, recipe.rate)
    stretches, cache = medium_video.stretched(recipe, media, vae, here)

    def latents(chosen: Sequence[int]) -> Tensor:
        rows = np.stack([cache.rows[slice(*cache.starts[i : i + 2])] for i in chosen])
        return rearrange(torch.from_numpy(rows).float(), "b n c h w -> b c n h w")

    def frames(chosen: Sequence[int]) -> Tensor:
        cuts = [media[stretches[i][0]][stretches[i][1] :][: recipe.frames] for i in chosen]
        return videos.scaled(np.stack(cuts))

    return Shown(count=len(stretches), latents=latents, media=frames)


def shrinks(model: PreviewConfig, spec: LatentSpec) -> tuple[int, ...]:
    """How many times smaller than the media the preview is along each axis. ValueError if it does not fit the
    autoencoder."""
    for name, mine, theirs in (
        ("latent_channels", model.latent_channels, spec.channels),
        ("dims", model.dims, spec.dims),
    ):
        if mine != theirs:
            raise ValueError(f"{name} is {mine}, the autoencoder has {theirs}")
    if bool(model.frames) != spec.causal or any(s % g for s, g in zip(spec.stride, model.grows, strict=True)):
        raise ValueError(
            f"grow is {model.grow} and frames {model.frames}; they must divide the autoencoder's stride {spec.stride}"
        )
    return tuple(s // g for s, g in zip(spec.stride, model.grows, strict=True))


def reduced(media: Tensor, shrink: Sequence[int], spec: LatentSpec) -> Tensor:
    """Media as small as the preview: averaged, and of clips every so many frames."""
    if not spec.causal:
        return smaller(media, shrink)
    return smaller(media[:, :, :: shrink[0]], (1, *shrink[1:]))


@torch.no_grad()
def show(
    recipe: PreviewRecipe, preview: Preview, vae: Whitened, shrink: Sequence[int], journal: Journal, step: int
) -> None:
    """Held-out media, shrunk, above what the preview makes of their latents."""
    if vae.spec.causal:
        held = videos.source(recipe.data, "heldout", recipe.size, recipe.rate)
        real = videos.whole(held, range(recipe.samples), recipe.frames)
    else:
        media = pictures.fitted(pictures.source(recipe.data, "heldout", recipe.size), recipe.size)
        real = pictures.whole(media, range(recipe.samples))
    made = preview(vae.encode(real.to(next(vae.parameters()).device))).cpu()
    goal = reduced(real, shrink, vae.spec)
    journal.numbers(step, {"heldout/psnr": float(psnr(made, goal))})
    if vae.spec.causal:
        sheet = rearrange([goal, made], "k n c t h w -> n c (k h) (t w)")
        journal.pictures(step, "previews", sheet, across=1)
    else:
        journal.pictures(step, "previews", torch.cat([goal, made], dim=3))
