"""The upscaler of Stable Diffusion (x4): its U-Net is shown the small picture, noised a little, at the size of the
latents, and told how much (arXiv 2112.10752; conditioning augmentation, arXiv 2106.15282).

`strength` is the share of the small picture's noise table: 0.02 is the published pipeline's noise level of 20.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..core.rng import Noise
from . import _adapters as adapters
from . import sd
from .model import Enlarging, Model

PIPELINES = ("StableDiffusionUpscalePipeline",)
OPTIONS = {"safety_checker": None, "feature_extractor": None, "watermarker": None}
LEVEL = 20  # of the noise on the small picture, by the published pipeline


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("low_res_scheduler",))
    made = sd.model(pipe, about, shown=pipe.vae.config.in_channels)
    levels = pipe.low_res_scheduler.config.num_train_timesteps

    def told(request: Any, n: int) -> dict[str, Tensor]:
        return made.told(request, n) | {"level": level(request.strength, levels).repeat(n)}

    def shown(job: Any, noise: Noise) -> dict[str, Tensor]:
        small = job.context.expand(len(job.requests), -1, -1, -1)
        told = level(job.requests[0].strength, levels)
        return {"shown": pipe.low_res_scheduler.add_noise(small, noise(0, small), told)}

    largest = pipe.config.max_noise_level / levels
    factor = made.spec.stride[-1]
    return replace(
        made,
        told=told,
        shown=shown,
        multiple=factor,
        enlarges=Enlarging(factor=factor, strength=LEVEL / levels, strongest=largest),
    )


def level(strength: float, levels: int) -> Tensor:
    """[1]: the entry of a noise table that a strength of 0 .. 1 means."""
    return torch.tensor([min(round(strength * levels), levels - 1)])
