"""HunyuanVideo, text to video: a transformer on the straight path, told a guidance scale; a Llama reads a prompt within
a request to describe a video, and a CLIP reads it alone."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..autoencoders.base import LatentSpec
from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from .model import Model, nothing_told

PIPELINES = ("HunyuanVideoPipeline",)
OPTIONS: dict[str, Any] = {}
LONGEST = 256  # tokens of the Llama's
RATE = 24.0  # frames a second, which no file says


def model(pipe: Any, about: adapters.About) -> Model:
    adapters.missing(
        pipe, ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
    )
    vae, shape = hunyuan_vae(pipe.vae), pipe.transformer.config
    adapters.fits(pipe.transformer, shape.in_channels, vae.spec.channels)

    def encode(texts: list[str]) -> dict[str, Tensor]:
        place = adapters.runs_on(pipe.text_encoder)
        text, pooled, mask = pipe.encode_prompt(texts, device=place, max_sequence_length=LONGEST)
        return {"text": text, "pooled": pooled, "text_mask": mask}

    asked = inspect.signature(type(pipe).__call__).parameters
    return clips.clip(
        pipe,
        about,
        vae,
        size=(asked["height"].default, asked["width"].default),
        frames=asked["num_frames"].default,
        rate=RATE,
        patch=shape.patch_size,
        text=adapters.Texts(encode=encode, spans=[bare_span(pipe.tokenizer, LONGEST)]),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call, ready=ready), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, schedules.even_levels(patch=shape.patch_size)),
        told=told if shape.guidance_embeds else nothing_told,
        distilled=bool(shape.guidance_embeds),
    )


def told(request: Any, n: int) -> dict[str, Tensor]:
    return {"scale": torch.full((n,), request.walk.guidance)}


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """What of a condition the transformer is told, put together once for all steps; shown: what is not told, but
    shown beside the latents."""
    text, scale = cond["text"], cond.get("scale")
    told = {"encoder_hidden_states": text, "encoder_attention_mask": cond["text_mask"].to(text.dtype)}
    told |= {"pooled_projections": cond["pooled"], "guidance": None if scale is None else 1000 * scale}
    return {"told": told, "shown": cond.get("shown")}


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    return transformer(hidden_states=x, timestep=t, **cond["told"], return_dict=False)[0]


def hunyuan_vae(vae: Any) -> adapters.PublishedVAE:
    """An `AutoencoderKLHunyuanVideo` or its like: causal in time, one scale for all channels."""
    config, space, time = vae.config, vae.spatial_compression_ratio, vae.temporal_compression_ratio
    spec = LatentSpec(channels=config.latent_channels, stride=(time, space, space), causal=True)
    reach = adapters.reach_of(len(config.block_out_channels), config.layers_per_block + 1)
    return adapters.PublishedVAE(vae, spec, (2 * reach, reach, reach), [0.0], [1 / config.scaling_factor])


class Bare:
    """A tokenizer of what stands within a longer request: without the special tokens of a text's ends."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str, **options: Any) -> Any:
        return self.tokenizer(text, add_special_tokens=False, **options)


def bare_span(tokenizer: Any, longest: int) -> adapters.Span:
    """The positions of a prompt that stands within a request that is cut off."""
    return adapters.Span(tokenizer=Bare(tokenizer), length=longest)
