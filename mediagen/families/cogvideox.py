"""CogVideoX 1.0 and 1.5, text to video and image to video: a transformer that predicts v down to no signal at all.

The picture that a clip begins with is shown to the network beside the noise, as the first of otherwise empty latents.
The network of 1.5 takes latents in pairs, and clips of an odd number of them: before the first one stands another that
is thrown away. So a position of ours is a pair, and stands for eight frames, the first one for one.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ..autoencoders.base import LatentSpec, filled
from ..core.rng import Noise
from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from .model import Model

PIPELINES = ("CogVideoXPipeline", "CogVideoXImageToVideoPipeline")
OPTIONS: dict[str, Any] = {}
RATES = {1: 8.0, 2: 16.0}  # frames a second, which no file says: of 1.0 and of 1.5
LONGEST = 226  # tokens
OFFSET = 2.0  # what the image to video model of 1.5 is told with every picture


class PairedVAE(adapters.PublishedVAE):
    """An `AutoencoderKLCogVideoX`, whose decoder goes wrong in time where latents are even in number.

    fold: latents that a position holds; where there are two, the very first one is thrown away."""

    def __init__(self, vae: Any, fold: int) -> None:
        config, levels = vae.config, len(vae.config.block_out_channels)
        space, time = 2 ** (levels - 1), config.temporal_compression_ratio
        self.fold = fold
        spec = LatentSpec(channels=config.latent_channels * fold, stride=(time * fold, space, space), causal=True)
        reach = adapters.reach_of(levels, config.layers_per_block + 1)
        super().__init__(vae, spec, (2 * reach, reach, reach), [0.0], [1 / config.scaling_factor])

    def encode(self, x: Tensor) -> Tensor:
        z = super().encode(x)
        return clips.folded(torch.cat([z[:, :, :1]] * (self.fold - 1) + [z], 2), self.fold)

    def decode(self, z: Tensor) -> Tensor:
        z = clips.unfolded(z, self.fold)[:, :, self.fold - 1 :]
        even = 1 - z.shape[2] % 2
        media = super().decode(torch.cat([z] + [z[:, :, -1:]] * even, 2))
        return media[:, :, : len(media[0, 0]) - even * self.vae.config.temporal_compression_ratio]


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"))
    shape = pipe.transformer.config
    fold, animates = shape.patch_size_t or 1, type(pipe).__name__ == PIPELINES[1]
    vae = PairedVAE(pipe.vae, fold)
    channels = vae.spec.channels // fold
    adapters.fits(pipe.transformer, shape.in_channels, channels, channels * animates)
    again = type(pipe.scheduler).__name__ == "CogVideoXDPMScheduler"
    return clips.clip(
        pipe,
        about,
        vae,
        size=(shape.sample_height * vae.spec.stride[1], shape.sample_width * vae.spec.stride[2]),
        frames=shape.sample_frames,
        rate=RATES[fold],
        patch=shape.patch_size,
        text=clips.texts(pipe, LONGEST, "text"),
        denoiser=adapters.denoiser(
            adapters.Net(pipe.transformer, partial(call, fold, turns(pipe, vae.spec))), pipe.scheduler
        ),
        schedule=schedules.schedule_of(pipe.scheduler),
        drawn=lambda generator, request: clips.FramesFirst(generator=generator, fold=fold, again=again),
        shown=partial(shown, vae) if animates else None,
        ends=("first",) if animates else (),
    )


Turns = Callable[[tuple[int, ...], torch.device], Any]


def turns(pipe: Any, spec: LatentSpec) -> Turns:
    """(frames, rows, columns) of latents -> the angles that the network's positions are turned by; None for one that
    has them in its weights."""
    space = spec.stride[-1]

    @lru_cache(maxsize=4)
    def turned(grid: tuple[int, ...], place: torch.device) -> Any:
        frames, rows, columns = grid
        return pipe._prepare_rotary_positional_embeddings(rows * space, columns * space, frames, place)

    return turned if pipe.transformer.config.use_rotary_positional_embeddings else lambda grid, place: None


def call(fold: int, turned: Turns, transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    given = [clips.unfolded(each, fold) for each in (x, cond.get("image")) if each is not None]
    y = transformer(
        hidden_states=torch.cat(given, 1).transpose(1, 2),
        encoder_hidden_states=cond["text"],
        timestep=t,
        ofs=x.new_full((1,), OFFSET) if transformer.config.ofs_embed_dim else None,
        image_rotary_emb=turned(tuple(given[0].shape[2:]), x.device),
        return_dict=False,
    )[0]
    return clips.folded(y.transpose(1, 2), fold)


def shown(vae: PairedVAE, job: Any, noise: Noise) -> dict[str, Tensor]:
    """The picture, drawn from what the encoder makes of it; 1.5 learned to divide by the scale of the latents."""
    config = vae.vae.config
    scale = 1 / config.scaling_factor if config.invert_scale_latents else config.scaling_factor
    picture = scale * clips.sampled(vae, clips.first_picture(job), noise, len(job.requests))
    return {"image": clips.folded(filled(picture, job.grid[0] * vae.fold), vae.fold)}
