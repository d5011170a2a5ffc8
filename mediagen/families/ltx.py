"""LTX-Video, text and image to video: a transformer on the straight path over the positions of a clip's latents.

It takes a time for each position, so that pictures to begin and end with are shown to it as they are, at t = 0.
Positions are packed around the network: masks and known latents are [B, C, *grid] as for all others.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from .model import Model

PIPELINES = ("LTXPipeline", "LTXImageToVideoPipeline")
OPTIONS: dict[str, Any] = {}
LONGEST = 128  # tokens


def model(pipe: Any, about: adapters.About) -> Model:
    rate = inspect.signature(type(pipe).__call__).parameters["frame_rate"].default
    apart = spacing(adapters.ltx_vae(pipe.vae).spec.stride, float(rate))
    return made(pipe, about, LONGEST, lambda x: {"rope_interpolation_scale": apart}, schedules.even_levels(patch=1))


def made(
    pipe: Any,
    about: adapters.About,
    longest: int,
    places: Callable[[Tensor], Mapping[str, Any]],
    levels: schedules.Options,
) -> Model:
    """longest: tokens of a prompt. places: state -> what the network is told of the places of its positions."""
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"))
    shape, vae = pipe.transformer.config, adapters.ltx_vae(pipe.vae)
    adapters.fits(pipe.transformer, shape.in_channels, vae.spec.channels)
    if (shape.patch_size, shape.patch_size_t) != (1, 1):
        raise ValueError(f"its transformer takes patches of {shape.patch_size}, {shape.patch_size_t} in time, not of 1")
    asked = inspect.signature(type(pipe).__call__).parameters
    return clips.clip(
        pipe,
        about,
        vae,
        size=(asked["height"].default, asked["width"].default),
        frames=asked["num_frames"].default,
        rate=asked["frame_rate"].default,
        token=(1, 1, 1),
        text=clips.texts(pipe, longest, "text", "text_mask"),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, partial(call, places)), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, levels),
    )


def spacing(stride: tuple[int, ...], rate: float) -> tuple[float, ...]:
    """How far apart positions lie: in seconds, and in pixels down and across."""
    return stride[0] / rate, *map(float, stride[1:])


def call(
    places: Callable[[Tensor], Mapping[str, Any]], transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]
) -> Tensor:
    frames, rows, columns = x.shape[2:]
    y = transformer(
        hidden_states=x.flatten(2).mT,  # [B, positions, C]: in each step, where einops takes 10 us
        timestep=t if t.ndim == 1 else t.flatten(1),
        encoder_hidden_states=cond["text"],
        encoder_attention_mask=cond["text_mask"],
        num_frames=frames,
        height=rows,
        width=columns,
        **places(x),
        return_dict=False,
    )[0]
    return y.mT.unflatten(2, x.shape[2:])
