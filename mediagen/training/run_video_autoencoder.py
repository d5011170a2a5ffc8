"""A run of the recipe of an autoencoder of clips."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from .. import config
from ..autoencoders.causal import VideoVAE, VideoVAEConfig
from ..nn.inflate import padded
from . import pictures, videos, weights
from .ema import EMA
from .journal import Journal
from .reconstruct import ReconstructionLoss, flicker, measure_latents, players, psnr
from .run_autoencoder import fill_encoder
from .trainer import Progress, Schedule, place, train
from .videos import Videos

MEASURED = 256  # clips from which the whitening is measured
SHOWN = 4  # of so many frames one is shown


@dataclass(frozen=True, kw_only=True)
class VideoAutoencoderRecipe:
    """data: a built motion world, or a folder of video files, which are brought to `size` pixels a side (None: `crop`)
    and `rate` frames a second; frames, crop: of the random pieces, each that of `tries` in which most changes; stills:
    the share of batches that are pictures, clips of one frame, `frames` times as many: those of `pictures` (a built
    dataset, or a folder) or else frames of the clips. init: weights to start from, of clips or of images, whose encoder
    must be the same (of the decoder the last layers are taken as far as they are); decoder_only: keep the encoder, and
    so the latent space, as it is; samples: held-out clips whose first `frames` are made again, all of each, and
    measured at each checkpoint."""

    kind: str = "video-autoencoder"
    data: str
    pictures: str | None = None
    rate: float = 8.0
    frames: int = 17
    crop: int = 64
    size: int | None = None
    tries: int = 1
    batch: int = 8
    stills: float = 0.1
    init: str | None = None
    decoder_only: bool = False
    levels: tuple[float, ...] = (1.0,)
    samples: int = 0
    model: VideoVAEConfig = field(default_factory=VideoVAEConfig)
    loss: ReconstructionLoss = field(default_factory=ReconstructionLoss)
    schedule: Schedule

    def __post_init__(self) -> None:
        space = self.model.stride[1]
        if self.crop < 1 or self.crop % space or self.frames < 1 or (self.frames - 1) % self.model.stride[0]:
            raise ValueError(
                f"frames and crop are {self.frames} and {self.crop}; the model needs 1 + a multiple of "
                f"{self.model.stride[0]}, and a multiple of {space}"
            )
        if not 0 <= self.stills <= 1 or self.batch < 1 or self.samples < 0:
            raise ValueError(
                f"stills must be from 0 to 1, batch 1 or more and samples 0 or more, not {self.stills}, {self.batch} "
                f"and {self.samples}"
            )
        if self.tries < 1:
            raise ValueError(f"tries must be 1 or more, not {self.tries}")
        if not self.init and (self.decoder_only or self.loss.drift):
            raise ValueError("decoder_only and drift hold on to the latents of other weights: name them as init")
        if not self.levels or min(self.levels) <= 0 or self.model.frames.latent_channels % len(self.levels):
            raise ValueError(
                f"levels {list(self.levels)} must be above 0, and of equal parts of all "
                f"{self.model.frames.latent_channels} channels"
            )


KINDS = {"video-autoencoder": VideoAutoencoderRecipe}


def run(recipe: VideoAutoencoderRecipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/vae.safetensors` (averaged weights, whitening measured) at each checkpoint."""
    clips = videos.source(recipe.data, "train", recipe.size or recipe.crop, recipe.rate)
    videos.check_crop(clips, recipe.frames, recipe.crop)
    draw = drawn(recipe, clips)
    torch.manual_seed(recipe.schedule.seed)
    (vae, held), here = start(recipe), place()
    journal = Journal(out, recipe.schedule.log_every)
    show = shown(recipe, journal) if recipe.samples else None

    def keep(step: int, ema: EMA) -> None:
        final = VideoVAE(recipe.model).to(here.device)
        final.load_state_dict(ema.weights)
        if not recipe.decoder_only:
            count = -(-min(MEASURED, len(clips)) // 8)
            measure_latents(
                final,
                lambda i: videos.whole(clips, range(8 * i, 8 * i + 8), recipe.frames).to(here.device),
                count,
            )
            part = len(final.std) // len(recipe.levels)
            final.std.div_(torch.tensor(recipe.levels).repeat_interleave(part).to(final.std))
        about = {"kind": "video_vae", "step": step, "config": config.plain(recipe.model)}
        weights.save(out / "vae.safetensors", final.state_dict(), about)
        if show is not None:
            show(step, final)

    def batch(step: int) -> Tensor:
        return here.share(draw(step)).to(here.device)

    mine = players(vae, recipe.loss, batch, here.seed(recipe.schedule.seed), held=held)
    yield from train(mine, recipe.schedule, out, keep, journal)


def start(recipe: VideoAutoencoderRecipe) -> tuple[VideoVAE, int]:
    """A new autoencoder, or one that begins with the weights of `init`, and how many of its latent channels are known
    from there."""
    vae = VideoVAE(recipe.model)
    known = fill(vae, recipe.init) if recipe.init else 0
    if recipe.decoder_only:
        vae.encoder.requires_grad_(False)
    return vae, known


def fill(vae: VideoVAE, init: str) -> int:
    """Load the weights of clips, or of images: a kernel over space is one of clips that is one frame long, and the
    layers over time stay as they are. How many latent channels they had. ValueError if they are of something else, or
    the encoder is another."""
    tensors, about = weights.load(init)
    kind, own, known = about.get("kind"), [], len(tensors.get("mean", ()))
    if kind not in ("video_vae", "conv_vae"):
        raise ValueError(f"init {init} holds a {kind!r}; it must be an autoencoder of clips or of images")
    if kind == "conv_vae":
        tensors = {k: v.unsqueeze(2) if v.ndim == 4 else v for k, v in tensors.items()}
        own = [name for name in vae.state_dict() if name.startswith("encoder.times.")]
    same = kind == "video_vae" and but_channels(about.get("config")) == but_channels(config.plain(vae.config))
    if known < vae.spec.channels:
        tensors = more_channels(tensors, vae)
    if same:
        weights.fit(vae, tensors, init, assign=False)
    else:
        fill_encoder(vae, tensors, init, own)
    return known


def but_channels(sizes: Any) -> Any:
    """The sizes of a `VideoVAEConfig`, whatever the number of latent channels."""
    return {**sizes, "frames": {**sizes["frames"], "latent_channels": None}} if sizes else None


def more_channels(tensors: Mapping[str, Tensor], vae: VideoVAE) -> dict[str, Tensor]:
    """Weights of an autoencoder with fewer latent channels -> those of one with as many as `vae`, which draws the same
    from the same: its decoder does not look at the new ones, of which its encoder says something at random."""
    count, mine = len(tensors["mean"]), vae.state_dict()
    wide = dict(tensors)
    wide["decoder.layers.0.weight"] = padded(tensors["decoder.layers.0.weight"], mine["decoder.layers.0.weight"].shape)
    for name in (f"encoder.layers.{len(vae.encoder.layers) - 1}.{part}" for part in ("weight", "bias")):
        (mean, spread), (new, _) = tensors[name].chunk(2), mine[name].chunk(2)
        level = spread.mean(dim=0, keepdim=True).expand_as(new[count:])
        wide[name] = torch.cat([mean, new[count:], spread, level])
    return wide | {name: torch.cat([tensors[name], mine[name][count:]]) for name in ("mean", "std")}


def drawn(recipe: VideoAutoencoderRecipe, clips: Videos) -> Callable[[int], Tensor]:
    """step -> the clips, or the pictures as clips of one frame, of all processes together."""
    stills = None
    if recipe.stills and recipe.pictures:
        stills = pictures.source(recipe.pictures, "train", recipe.size or recipe.crop)
        pictures.check_crop(stills, recipe.crop)

    def draw(step: int) -> Tensor:
        rng = np.random.default_rng((recipe.schedule.seed, step))
        if rng.random() >= recipe.stills:
            return videos.crops(clips, rng, recipe.batch, recipe.frames, recipe.crop, recipe.tries)
        count = recipe.batch * recipe.frames
        if stills is None:
            return videos.crops(clips, rng, count, 1, recipe.crop)
        return pictures.crops(stills, rng, count, recipe.crop)[:, :, None]

    return draw


def shown(recipe: VideoAutoencoderRecipe, journal: Journal) -> Callable[[int, VideoVAE], None]:
    """A function that writes frames of held-out clips above those of their reconstructions, their PSNR, and the flicker
    of both to the journal."""
    clips = videos.source(recipe.data, "heldout", recipe.size or recipe.crop, recipe.rate)
    real = videos.whole(clips, range(recipe.samples), recipe.frames)

    @torch.no_grad()
    def show(step: int, vae: VideoVAE) -> None:
        device = next(vae.parameters()).device
        again = torch.cat([vae.decode(vae.encode(x[None].to(device))).cpu() for x in real]).clamp(-1, 1)
        found = {"psnr": psnr(again, real)}
        if recipe.frames > 2:
            found |= {"flicker": flicker(again), "flicker-real": flicker(real)}
        journal.numbers(step, {f"heldout/{name}": float(value) for name, value in found.items()})
        rows = rearrange([real, again], "k n c t h w -> n c (k h) t w")[:, :, :, ::SHOWN]
        journal.pictures(step, "reconstructed", rearrange(rows, "n c h t w -> n c h (t w)"))

    return show
