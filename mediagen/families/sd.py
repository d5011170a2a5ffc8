"""Stable Diffusion 1.x and 2.x, with eps or v, and what was distilled of them: LCM and Turbo.

A checkpoint whose U-Net has a place for the guidance scale (LCM) is told it and needs no second branch; others that
were distilled (Turbo) are walked with guidance=1 and few steps.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from . import _adapters as adapters
from . import _control as controls
from . import _pictures as pictures
from . import _schedule as schedules
from .model import Model

PIPELINES = ("StableDiffusionPipeline", "LatentConsistencyModelPipeline")
OPTIONS = {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None, "image_encoder": None}


def model(pipe: Any, about: adapters.About, shown: int = 0) -> Model:
    """shown: channels that its U-Net is shown beside the latents."""
    adapters.missing(pipe, ("unet", "vae", "text_encoder", "tokenizer", "scheduler"))
    width = pipe.unet.config.time_cond_proj_dim
    adapters.fits(pipe.unet, pipe.unet.config.in_channels, pipe.vae.config.latent_channels, shown)
    net = adapters.Net(pipe.unet, call, ready=ready)

    def told(request: Any, n: int) -> dict[str, Tensor]:
        return {"scale": scale_code(pipe, request.walk.guidance, n)} if width else {}

    return adapters.picture(
        pipe,
        about,
        sample=pipe.unet.config.sample_size,
        text=texts(pipe),
        denoiser=adapters.denoiser(net, pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
        told=told,
        distilled=width is not None,
        adapts={"control": controls.reader(pipe.unet, net, controls.of_unet(pipe.vae))},
    )


def texts(pipe: Any) -> adapters.Texts:
    """A CLIP that reads prompts alone."""

    def encode(prompts: list[str]) -> dict[str, Tensor]:
        return {"text": pipe.encode_prompt(prompts, adapters.runs_on(pipe.text_encoder), 1, False)[0]}

    return adapters.Texts(encode=encode, spans=[token_span(pipe.tokenizer)])


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """A condition with what the U-Net is told of it, put together once for all steps."""
    told = {"encoder_hidden_states": cond["text"], "timestep_cond": cond.get("scale")}
    told |= {"class_labels": cond.get("level"), "added_cond_kwargs": pictures.told(cond) or None}
    return cond | {"told": told | controls.beside(cond)}


def call(unet: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    return unet(beside(x, cond), t, **cond["told"], return_dict=False)[0]


def beside(x: Tensor, cond: Mapping[str, Any]) -> Tensor:
    """The state, and what the network is shown beside it, as its further channels."""
    return torch.cat((x, cond["shown"]), 1) if "shown" in cond else x


def token_span(tokenizer: Any) -> adapters.Span:
    """A CLIP tokenizer fills all of its positions."""
    return adapters.Span(tokenizer=tokenizer, length=tokenizer.model_max_length)


def scale_code(pipe: Any, guidance: float, n: int) -> Tensor:
    """[n, D]: the guidance scale as a distilled U-Net is told it."""
    scale = torch.tensor(guidance - 1.0).repeat(n)
    return pipe.get_guidance_scale_embedding(scale, embedding_dim=pipe.unet.config.time_cond_proj_dim)
