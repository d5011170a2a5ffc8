"""Stable Video Diffusion: a picture comes to life. It reads no words; it is told frames a second and how much moves.

Its levels are EDM's (arXiv 2206.00364), which in the network's own coordinates are the quarter circle, and v is what it
predicts. It is shown the picture as CLIP sees it and, slightly noised, as latents beside each frame; guidance leads
away from having seen nothing, and grows from none at the first frame to all of it at the last one.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..core.rng import Noise
from ..modalities.image import Image
from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from .model import Model

PIPELINES = ("StableVideoDiffusionPipeline",)
OPTIONS: dict[str, Any] = {}
SEEN = ("image", "latents")
MOTION = 255  # the largest strength that it was trained with, as what is asked for in 0 .. 1 is told
RATES = (2.0, 30.0)  # frames a second that it is told less one of


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("unet", "vae", "image_encoder", "feature_extractor", "scheduler"))
    vae, shape = clips.FrameVAE(pipe.vae), pipe.unet.config
    adapters.fits(pipe.unet, shape.in_channels, vae.spec.channels, vae.spec.channels)
    asked = inspect.signature(type(pipe).__call__).parameters
    low, high = RATES
    return clips.clip(
        pipe,
        about,
        vae,
        size=(asked["height"].default, asked["width"].default),
        frames=shape.num_frames,
        rate=asked["fps"].default,
        patch=2 ** (len(shape.block_out_channels) - 1),
        guidance=asked["max_guidance_scale"].default,
        text=clips.Wordless(),
        denoiser=adapters.denoiser(adapters.Net(pipe.unet, call), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
        scalars=(clips.Limits(name="fps", low=low, high=high), clips.Limits(name="motion", low=0.0, high=1.0)),
        told=partial(told, {name: asked[name].default for name in ("motion_bucket_id", "noise_aug_strength")}),
        shown=partial(shown, pipe, asked["noise_aug_strength"].default),
        contrast=lambda cond: cond | {name: torch.zeros_like(cond[name]) for name in SEEN},
        share=lambda grid: torch.linspace(0, 1, grid[0]).view(1, 1, -1, 1, 1),
        drawn=lambda generator, request: clips.FramesFirst(generator=generator),
        ends=("first",),
    )


def told(usual: Mapping[str, float], request: Any, n: int) -> dict[str, Tensor]:
    """Frames a second less one, the strength of motion, and that of the noise on the picture."""
    motion = usual["motion_bucket_id"] if request.motion is None else MOTION * request.motion
    return {"ids": torch.tensor([[request.fps - 1, motion, usual["noise_aug_strength"]]]).repeat(n, 1)}


def shown(pipe: Any, strength: float, job: Any, noise: Noise) -> dict[str, Tensor]:
    """The picture as CLIP sees it [1, 1, D], and its latents [n, C, F, h, w], which are not whitened."""
    pixels, n = clips.first_picture(job)[:, :, 0], len(job.requests)
    pixels = pixels.expand(n, *pixels.shape[1:])
    noised = (pixels + strength * noise(0, pixels)).to(adapters.runs_on(pipe.vae), pipe.vae.dtype)
    latents = pipe.vae.encode(noised).latent_dist.mode().to(pixels)[:, :, None]
    seen = pipe._encode_image(Image.from_tensor(pixels[0]).pil(), adapters.runs_on(pipe.image_encoder), 1, False)
    return {"image": seen.cpu(), "latents": latents.expand(-1, -1, job.grid[0], -1, -1)}


def call(unet: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    beside = torch.cat((x, cond["latents"]), 1).transpose(1, 2)
    seen = {"encoder_hidden_states": cond["image"], "added_time_ids": cond["ids"]}
    return unet(beside, t, **seen, return_dict=False)[0].transpose(1, 2)
