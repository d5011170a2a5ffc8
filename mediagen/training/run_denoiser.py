"""A run of a denoiser's recipe: transformer or U-Net, on the latents of any medium or on pixels."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import config
from ..autoencoders.whitened import Whitened
from ..backbones import build
from ..conditioners.text import TextEncoder
from ..core import path as paths
from ..core import predict, timing
from ..core.denoiser import Denoiser
from ..nn.inflate import inflated, padded
from . import denoise, medium, weights
from .card import write_card
from .denoise import Batch, Conditioning
from .ema import EMA
from .journal import Journal
from .known import SHARES, drawn
from .medium import Medium
from .recipes import DenoiserRecipe
from .sampling import sampled
from .texts import stored
from .trainer import Place, Progress, place, train

ADDED = ("signal_embed.", "scalar_embed.")  # of numbers and signals that a network may learn later
READ, WRITTEN = "patch_embed.weight", "head.weight"  # of a transformer; a channel's cells lie side by side
CHANNELS = (READ, WRITTEN, "head.bias")

Show = Callable[[int, Denoiser], None]


def run(recipe: DenoiserRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/denoiser.safetensors` (averaged weights) at each checkpoint, and `out/card.yaml`, with which
    `mediagen.load(out)` opens the model."""
    here = place()
    torch.manual_seed(recipe.schedule.seed)
    model, density = start(recipe), timing.find(**recipe.density)
    vae = None if recipe.vae is None else weights.load_autoencoder(recipe.vae).to(here.device)
    check_latents(recipe, model, vae)
    media = medium.find(recipe, vae, model.net.config.multiple, here)
    text = TextEncoder.load(recipe.text).to(here.device)
    journal = Journal(out, recipe.schedule.log_every)
    shows = [show(recipe, media, text, journal) for show in observers(recipe)]

    def keep(step: int, ema: EMA) -> None:
        network = {k.removeprefix("net."): v for k, v in ema.weights.items()}
        weights.save(out / "denoiser.safetensors", network, header(recipe, step))
        write_card(recipe, out, media.card())
        if shows:
            average = fresh(recipe).to(here.device).eval()
            average.load_state_dict(ema.weights)
            for show in shows:
                show(step, average)

    condition = Conditioning(text=texts(recipe, text, media, here), scalars=recipe.scalars)
    batch, seed = batches(recipe, media, here, getattr(model.net.config, "patch", ())), here.seed(recipe.schedule.seed)
    player = denoise.player(model, condition, batch, density, recipe.dropout, seed)
    yield from train([player], recipe.schedule, out, keep, journal)


def texts(recipe: DenoiserRecipe, text: TextEncoder, media: Medium, here: Place) -> denoise.Text:
    """Stored captions where the run sees more of them than there are; a short run encodes what it sees."""
    seen, there = recipe.schedule.steps * recipe.batch, len(media) * len(media.captions(0))
    return stored(text, recipe.text, media, recipe.data, here) if seen >= there else text


def fresh(recipe: DenoiserRecipe) -> Denoiser:
    """The recipe's network with random weights, as a denoiser."""
    return Denoiser(build(recipe.backbone, sizes(recipe)), *process(recipe))


def sizes(recipe: DenoiserRecipe) -> dict[str, Any]:
    """The network's sizes, the widths of its scalars among them."""
    scalars = {scalar.name: scalar.width for scalar in recipe.scalars}
    return {**recipe.model, "scalars": scalars} if scalars else recipe.model


def start(recipe: DenoiserRecipe) -> Denoiser:
    """The denoiser to train: new or from `init`, compiled if the recipe says so."""
    model = fresh(recipe)
    if recipe.init:
        begin(model.net, recipe.init)
    if recipe.compile:
        if not hasattr(model.net, "blocks"):
            raise ValueError(f"compile: a {recipe.backbone} has no transformer blocks to compile; leave it out")
        allow_shapes()
        for block in model.net.blocks:
            block.compile(dynamic=False)
    return model


def allow_shapes(count: int = 64) -> None:
    """Let torch compile a block for so many shapes: captions of several lengths, clips and stills, one time and a time
    for each token. Beyond its own limit of 8 it would go on uncompiled and say nothing."""
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, count)


def begin(net: nn.Module, init: str) -> None:
    """Load the weights of `init`. What it is not told or shown there says nothing at first, so that the channels it
    makes stay what they were; those it has not are made at random. A network of images is a start for one of clips.
    ValueError if the weights belong to another network."""
    tensors, about = weights.load(init)
    mine = net.state_dict()
    tensors |= {k: padded(tensors[k], mine[k].shape) for k in CHANNELS if k in tensors and k in mine}
    if WRITTEN in tensors and WRITTEN in mine:
        tensors[WRITTEN] = written(tensors[WRITTEN])
    added = {k: torch.zeros_like(v) for k, v in mine.items() if k.startswith(ADDED) and k not in tensors}
    if getattr(net.config, "clips", False) and not about.get("model", {}).get("clips"):
        tensors = inflated(tensors, net)
    weights.fit(net, tensors | added, init, assign=False)


def written(head: Tensor) -> Tensor:
    """A head [cells, width] with its rows of zeros drawn as large as the others. A channel that is neither read nor
    written has no gradient on either side: a saddle which the training must leave first."""
    new = (head == 0).all(1)
    return torch.where(new[:, None], torch.randn_like(head) * head[~new].std(), head) if new.any() else head


def check_latents(recipe: DenoiserRecipe, model: Denoiser, vae: Whitened | None) -> None:
    """ValueError unless the network is for latents such as the autoencoder has."""
    if vae is None:
        return
    mine, theirs = ((c.dims, c.channels) for c in (model.net.config, vae.spec))
    if mine != theirs:
        raise ValueError(f"the model is for latents of (axes, channels) {mine}; those of {recipe.vae} have {theirs}")


def batches(recipe: DenoiserRecipe, media: Medium, here: Place, token: Sequence[int] = ()) -> Callable[[int], Batch]:
    """step -> this process' share of the batch. What is drawn is drawn for all processes alike, and then shared. token:
    grid cells of a token, one entry an axis, () for one each."""
    places, seed = media.epoch(), recipe.schedule.seed

    def clean(step: int, x0: Tensor) -> Tensor | None:
        rng = np.random.default_rng((seed, step, 3))
        if rng.random() >= recipe.known:
            return None
        return here.share(drawn(rng, x0.shape[2:], token, recipe.batch, recipe.shown or SHARES))

    def batch(step: int) -> Batch:
        chosen = places[denoise.shuffled(seed, step, recipe.batch, len(places))]
        told = np.random.default_rng((seed, step, 1)).integers(1 << 30, size=len(chosen))
        cuts = media.cuts(chosen, np.random.default_rng((seed, step, 2)))
        mine = here.share(cuts)
        captions = [media.captions(media.example(cut)) for cut in mine]
        x0, numbers = media.states(mine)
        said = [c[k % len(c)] for c, k in zip(captions, here.share(told), strict=True)]
        return Batch(x0=x0, captions=said, numbers=numbers, signals=media.signals(mine), known=clean(step, x0))

    return batch


def observers(recipe: DenoiserRecipe) -> list[Callable[..., Show]]:
    """What the recipe wants to see at each checkpoint."""
    return [*([heldout_loss] if recipe.heldout else []), *([heldout_samples] if recipe.samples else [])]


def heldout_loss(recipe: DenoiserRecipe, media: Medium, text: TextEncoder, journal: Journal) -> Show:
    """The loss of the averaged weights on the first held-out examples, always with the same noise and times."""
    known, condition = media.heldout(recipe.heldout), Conditioning(text=text, scalars=recipe.scalars)

    @torch.no_grad()
    def show(step: int, average: Denoiser) -> None:
        fixed = denoise.player(average, condition, lambda _: known, timing.find(**recipe.density), 0.0, seed=0)
        journal.numbers(step, {f"heldout/{name}": float(value) for name, value in fixed.loss(0).items()})

    return show


def heldout_samples(recipe: DenoiserRecipe, media: Medium, text: TextEncoder, journal: Journal) -> Show:
    """What is made of the first held-out captions, always from the same noise."""
    known, condition = media.heldout(recipe.samples), Conditioning(text=text, scalars=recipe.scalars)
    cond, null = condition(known.captions, known.numbers), condition.null(recipe.samples)
    like = known.x0.to(text.empty.device)

    def show(step: int, average: Denoiser) -> None:
        media.show(journal, step, sampled(average, like, cond, null))

    return show


def process(recipe: DenoiserRecipe) -> tuple[paths.Path, predict.Row]:
    """The path and the prediction that a recipe names."""
    return paths.find(**recipe.path), predict.find(recipe.prediction)


def header(recipe: DenoiserRecipe, step: int) -> dict[str, Any]:
    """What a weights file says of itself: the network, and the path and prediction that it was trained with."""
    about = {name: config.plain(getattr(recipe, name)) for name in ("backbone", "path", "prediction")}
    return {"kind": "denoiser", "step": step, "model": config.plain(sizes(recipe)), **about}
