"""Inpainting checkpoints of Stable Diffusion and SDXL, whose U-Net has nine channels: it is shown what is to be made
anew, and the latents of the rest.

It keeps what is known by itself, so that latents are not held to it (arXiv 2112.10752, section 4.5); without a mask all
is made anew. Those of such a class whose U-Net has four channels are as any other.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..core.rng import Noise
from . import _adapters as adapters
from . import sd, sdxl
from .model import Model

FAMILIES = {"StableDiffusionInpaintPipeline": sd, "StableDiffusionXLInpaintPipeline": sdxl}
PIPELINES = tuple(FAMILIES)
OPTIONS = sd.OPTIONS | {"add_watermarker": False}


def model(pipe: Any, about: adapters.About) -> Model:
    family, channels = FAMILIES[type(pipe).__name__], pipe.vae.config.latent_channels
    if pipe.unet.config.in_channels == channels:
        return family.model(pipe, about)
    made = family.model(pipe, about, shown=1 + channels)

    def shown(job: Any, noise: Noise) -> dict[str, Tensor]:
        return {"shown": masked(made, job.known, job.keep, job.grid)}

    return replace(made, shown=shown)


def masked(model: Model, known: Tensor | None, keep: Tensor | None, grid: tuple[int, ...]) -> Tensor:
    """Media [1, C, *size] and keep [1, 1, *size] -> [1, 1 + channels, *grid]: 1 where it is made anew, by the first
    pixel of each latent, as the published pipeline has it, and the latents of the rest, which is grey where it is."""
    size = model.spec.size(grid)
    if known is None or keep is None:
        known, anew = torch.zeros(1, model.spec.media_channels, *size), torch.ones(1, 1, *size)
    else:
        anew = (keep <= 0.5).to(known)
    across, down = model.spec.stride
    return torch.cat((anew[..., ::across, ::down], model.autoencoder.encode(known * (1 - anew))), 1)
