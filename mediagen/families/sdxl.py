"""Stable Diffusion XL: two text encoders, and a U-Net that is told the size of the picture."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from . import _adapters as adapters
from . import _control as controls
from . import _pictures as pictures
from . import _schedule as schedules
from .model import Model
from .sd import call, scale_code, token_span

PIPELINES = ("StableDiffusionXLPipeline",)
OPTIONS = {"feature_extractor": None, "image_encoder": None, "add_watermarker": False}


def model(pipe: Any, about: adapters.About, shown: int = 0) -> Model:
    """shown: channels that its U-Net is shown beside the latents."""
    adapters.missing(pipe, ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"))
    width = pipe.unet.config.time_cond_proj_dim
    adapters.fits(pipe.unet, pipe.unet.config.in_channels, pipe.vae.config.latent_channels, shown)
    net = adapters.Net(pipe.unet, call, ready=ready)
    kinds = (controls.of_unet(pipe.vae, sizes), controls.of_union(pipe.vae, sizes))

    def encode(texts: list[str]) -> dict[str, Tensor]:
        text, _, pooled, _ = pipe.encode_prompt(
            texts, device=adapters.runs_on(pipe.text_encoder), do_classifier_free_guidance=False
        )
        return {"text": text, "pooled": pooled}

    def told(request: Any, n: int) -> dict[str, Tensor]:
        scale = {"scale": scale_code(pipe, request.walk.guidance, n)} if width else {}
        return {"size": size_code(request.size).repeat(n, 1)} | scale

    return adapters.picture(
        pipe,
        about,
        sample=pipe.unet.config.sample_size,
        text=adapters.Texts(
            encode=encode, spans=[token_span(pipe.tokenizer)], zeros=pipe.config.force_zeros_for_empty_prompt
        ),
        denoiser=adapters.denoiser(net, pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
        told=told,
        distilled=width is not None,
        adapts={"control": controls.reader(pipe.unet, net, *kinds)},
    )


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """A condition with what the U-Net is told of it, put together once for all steps."""
    told = {"encoder_hidden_states": cond["text"], "timestep_cond": cond.get("scale")}
    told["added_cond_kwargs"] = sizes(cond)["added_cond_kwargs"] | pictures.told(cond)
    return cond | {"told": told | controls.beside(cond)}


def sizes(cond: Mapping[str, Any]) -> dict[str, Any]:
    """What its U-Net and its control networks are told beside the text."""
    return {"added_cond_kwargs": {"text_embeds": cond["pooled"], "time_ids": cond["size"]}}


def size_code(size: tuple[int, ...]) -> Tensor:
    """[1, 6]: the size that a picture is said to have had, where it was cropped, and the size it is to have, each
    (down, across)."""
    down_across = tuple(reversed(size))
    return torch.tensor([[*down_across, 0, 0, *down_across]], dtype=torch.float32)
