"""Stable Audio 3: a transformer on the straight path over the latents of stereo sound, told a text and its seconds.

It makes any length. Distilled checkpoints are walked by ping-pong in 8 steps without guidance, the others by Euler.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from . import _adapters as adapters
from . import _schedule as schedules
from ._outline import zeros
from ._sound import same
from .model import Model

PIPELINES = ("StableAudio3Pipeline",)
OPTIONS: dict[str, Any] = {}
LIBRARIES = ("stable_audio_3",)  # has the embedding of seconds
READ = {"duration_embedder": zeros}
LONGEST = 256  # tokens
LOGSNR = (-6.2, 2.0)  # from which to which its pipeline walks when nothing is said
STEPS = {True: 8, False: 100}  # of distilled checkpoints, and of others


def model(pipe: Any, about: adapters.About) -> Model:
    parts = ("transformer", "vae", "text_encoder", "tokenizer", "duration_embedder", "scheduler")
    adapters.missing(pipe, parts)
    vae, shape = same(pipe.vae), pipe.transformer.config
    adapters.fits(pipe.transformer, shape.io_channels, vae.spec.channels)
    rate, stride, embed = pipe.vae.config.sampling_rate, vae.spec.stride[0], pipe.duration_embedder

    def encode(texts: list[str]) -> dict[str, Tensor]:
        text, mask = pipe.encode_prompt(texts, pipe.text_encoder.device, 1)
        return {"text": text, "text_mask": mask}

    @torch.no_grad()
    def told(request: Any, n: int) -> dict[str, Tensor]:
        seconds = torch.tensor([min(request.seconds, embed.config.max_val)] * n, device=embed.device)
        return {"seconds": embed(seconds).cpu()}

    span = adapters.Span(tokenizer=pipe.tokenizer, length=min(pipe.tokenizer.model_max_length, LONGEST))
    made = adapters.model(
        pipe,
        about,
        modality="audio",
        autoencoder=vae,
        size=(int(embed.config.max_val * rate / stride) * stride,),
        multiple=stride * shape.patch_size,
        rate=rate,
        seconds=10.0,
        told=told,
        text=adapters.Texts(encode=encode, spans=[span]),
        denoiser=adapters.denoiser(adapters.Net(pipe.transformer, call, ready=ready), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler, levels),
    )
    steps = STEPS[schedules.kind(pipe.scheduler).rule == "lcm"]
    return replace(made, defaults={**made.defaults, "steps": steps})


def levels(scheduler: Any, steps: int, grid: tuple[int, ...]) -> Mapping[str, Any]:
    """Even steps of the logarithm of the signal-to-noise ratio, but for the first level, which is all noise."""
    low, high = LOGSNR
    even = torch.sigmoid(-(high - torch.linspace(1.0, 0.0, steps + 1) * (high - low)))
    even[0] = 1.0
    return {"sigmas": even[:-1].tolist()}


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """What of a condition the transformer is told, put together once for all steps: the length follows the text."""
    seconds, mask = cond["seconds"], cond["text_mask"]
    return {
        "encoder_hidden_states": torch.cat((cond["text"], seconds[:, None]), 1),
        "global_hidden_states": seconds,
        "encoder_attention_mask": torch.cat((mask, mask.new_ones(len(mask), 1)), 1),
    }


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    return transformer(x, t, **cond, return_dict=False)[0]
