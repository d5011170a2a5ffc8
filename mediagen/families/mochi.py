"""Mochi 1, text to video: a transformer on the straight path, which it walks the other way: its time is 0 at noise, and
it predicts the way to data. Its schedule is linear at first and then quadratic."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..autoencoders.base import LatentSpec
from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from .model import Model

PIPELINES = ("MochiPipeline",)
OPTIONS: dict[str, Any] = {}
LONGEST = 256  # tokens
RATE, FRAMES = 30.0, 19  # which no file says
LINEAR = 0.025  # how far from noise the linear half of its steps goes


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"))
    vae, shape = mochi_vae(pipe.vae), pipe.transformer.config
    adapters.fits(pipe.transformer, shape.in_channels, vae.spec.channels)
    if not pipe.scheduler.config.get("invert_sigmas"):
        said = f"{type(pipe.scheduler).__name__} must have invert_sigmas=True"
        raise ValueError(f"the network of Mochi predicts the way to data: {said}")

    def encode(texts: list[str]) -> dict[str, Tensor]:
        """One by one: an empty prompt at the end would empty all of them."""
        options = {"do_classifier_free_guidance": False, "max_sequence_length": LONGEST}
        options["device"] = adapters.runs_on(pipe.text_encoder)
        made = [pipe.encode_prompt([text], **options)[:2] for text in texts]
        return {
            name: torch.cat(each) for name, each in zip(("text", "text_mask"), zip(*made, strict=True), strict=True)
        }

    return clips.clip(
        pipe,
        about,
        vae,
        size=(pipe.default_height, pipe.default_width),
        frames=FRAMES,
        rate=RATE,
        patch=shape.patch_size,
        text=adapters.Texts(encode=encode, spans=[adapters.Span(tokenizer=pipe.tokenizer, length=LONGEST)]),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, levels),
    )


def levels(scheduler: Any, steps: int, grid: tuple[int, ...]) -> Mapping[str, Any]:
    from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule

    if steps < 2:
        raise ValueError(f"the published schedule of Mochi has two steps or more, not {steps}")
    return {"sigmas": linear_quadratic_schedule(steps, LINEAR)}


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    text = {"encoder_hidden_states": cond["text"], "encoder_attention_mask": cond["text_mask"]}
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a float32 autocast, which CPUs lack
        return -transformer(hidden_states=x, timestep=t, **text, return_dict=False)[0]


def mochi_vae(vae: Any) -> adapters.PublishedVAE:
    """An `AutoencoderKLMochi`: causal in time, whitened by channel."""
    config, space, time = vae.config, int(vae.spatial_compression_ratio), int(vae.temporal_compression_ratio)
    spec = LatentSpec(channels=config.latent_channels, stride=(time, space, space), causal=True)
    blocks = config.layers_per_block
    reach = adapters.reach_of(len(blocks), max(blocks))
    std = [value / config.scaling_factor for value in config.latents_std]
    return adapters.PublishedVAE(vae, spec, (2 * reach, reach, reach), config.latents_mean, std)
