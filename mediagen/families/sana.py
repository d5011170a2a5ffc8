"""Sana: a linear transformer on the straight path over latents of 32 pixels a side, and Gemma, which is first told how
to read a prompt (arXiv 2410.10629). What guidance leads away from is read plainly.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from ..autoencoders.base import LatentSpec
from . import _adapters as adapters
from . import _schedule as schedules
from .model import Model

PIPELINES = ("SanaPipeline",)
OPTIONS: dict[str, Any] = {}
LONGEST = 300  # tokens, the instruction aside


class DeepVAE(adapters.PublishedVAE):
    """An `AutoencoderDC`, which has one latent for a picture, and no deviation of it."""

    def encode(self, x: Tensor) -> Tensor:
        self.spec.grid(x.shape[2:])
        coded = self.vae.encode(x.to(adapters.runs_on(self.vae), self.dtype)).latent
        return (coded.to(x) - self.mean.to(x.device)) / self.std.to(x.device)


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"))
    shape, asked = pipe.transformer.config, inspect.signature(type(pipe).__call__).parameters
    vae = deep_vae(pipe.vae)
    spans = [adapters.Span(tokenizer=pipe.tokenizer, length=LONGEST)]
    instruction = asked["complex_human_instruction"].default

    def encode(texts: list[str], told: Any) -> dict[str, Tensor]:
        options = {"do_classifier_free_guidance": False, "complex_human_instruction": told}
        options |= {"device": adapters.runs_on(pipe.text_encoder), "max_sequence_length": LONGEST}
        text, mask, *_ = pipe.encode_prompt(texts, **options)
        return {"text": text, "text_mask": mask}

    return adapters.model(
        pipe,
        about,
        modality="image",
        autoencoder=vae,
        size=vae.spec.size((shape.sample_size,) * 2),
        multiple=vae.spec.stride[-1] * shape.patch_size,
        text=adapters.Texts(encode=partial(encode, told=instruction), spans=spans),
        against=adapters.Texts(encode=partial(encode, told=None), spans=spans),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
    )


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    y = transformer(
        x,
        timestep=t * transformer.config.timestep_scale,
        encoder_hidden_states=cond["text"],
        encoder_attention_mask=cond["text_mask"],
        return_dict=False,
    )[0]
    return y[:, : x.shape[1]]  # the rest, where there is one, is a variance, which no rule asks for


def deep_vae(vae: Any) -> DeepVAE:
    """ValueError for another one than an `AutoencoderDC`."""
    if type(vae).__name__ != "AutoencoderDC":
        raise ValueError(f"the autoencoder {type(vae).__name__} is not supported, only AutoencoderDC")
    config = vae.config
    spec = LatentSpec(channels=config.latent_channels, stride=(vae.spatial_compression_ratio,) * 2)
    reach = adapters.reach_of(len(config.decoder_block_out_channels), max(config.decoder_layers_per_block))
    return DeepVAE(vae, spec, reach, [0.0], [1 / config.scaling_factor])
