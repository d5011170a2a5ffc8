"""The refiner of SDXL: it reads the second text encoder alone, and is told how much a picture is liked.

Guidance leads from little liked to much liked. It finishes what the base began (`cascade.ensemble`), or makes a picture
anew from its slightly noised self (`vary`). A base of this pipeline class is as any other.
"""

from typing import Any

import torch
from torch import Tensor

from . import _adapters as adapters
from . import _schedule as schedules
from . import sdxl
from .model import Model

PIPELINES = ("StableDiffusionXLImg2ImgPipeline",)
OPTIONS = sdxl.OPTIONS
LIKED, DISLIKED = 6.0, 2.5  # of ten, by the published pipeline


def model(pipe: Any, about: adapters.About) -> Model:
    if not pipe.config.requires_aesthetics_score:
        return sdxl.model(pipe, about)
    adapters.missing(pipe, ("unet", "vae", "text_encoder_2", "tokenizer_2", "scheduler"))
    adapters.fits(pipe.unet, pipe.unet.config.in_channels, pipe.vae.config.latent_channels)

    def encode(texts: list[str]) -> dict[str, Tensor]:
        place = adapters.runs_on(pipe.text_encoder_2)
        text, _, pooled, _ = pipe.encode_prompt(texts, device=place, do_classifier_free_guidance=False)
        return {"text": text, "pooled": pooled}

    def told(request: Any, n: int) -> dict[str, Tensor]:
        return {"size": torch.tensor([[*reversed(request.size), 0.0, 0.0, LIKED]]).repeat(n, 1)}

    def contrast(cond: dict[str, Any]) -> dict[str, Any]:
        return cond | {"size": torch.cat((cond["size"][:, :-1], torch.full_like(cond["size"][:, :1], DISLIKED)), 1)}

    spans = [sdxl.token_span(pipe.tokenizer_2)]
    return adapters.picture(
        pipe,
        about,
        sample=pipe.unet.config.sample_size,
        text=adapters.Texts(encode=encode, spans=spans, zeros=pipe.config.force_zeros_for_empty_prompt),
        denoiser=adapters.denoiser(adapters.Net(pipe.unet, sdxl.call, ready=sdxl.ready), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
        told=told,
        contrast=contrast,
    )
