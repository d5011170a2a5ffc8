"""Wan 2.1 and 2.2, text to video: a transformer on the straight path over clips whose first latent is one frame.

Wan 2.2's large models are two networks, one for much noise and one for little. Its 5B model is told a time for each
token, so that pictures to begin with stay as they are: they are shown to it at t = 0.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from . import _adapters as adapters
from . import _clips as clips
from . import _schedule as schedules
from .model import Model

PIPELINES = ("WanPipeline",)
OPTIONS: dict[str, Any] = {}
LONGEST = 512  # tokens
EDGE = 1e-7  # in time: one that is the boundary itself, but for its rounding, is above it
RATES = {False: 16.0, True: 24.0}  # frames a second, which no file says: of 2.1 and 2.2, and of 2.2's 5B


def model(pipe: Any, about: adapters.About, beside: int = 0, **more: Any) -> Model:
    """beside: channels that its transformer is shown beside the latents; more: what the `Model` needs then."""
    adapters.missing(pipe, ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"))
    vae, patch = adapters.clip_vae(pipe.vae), tuple(pipe.transformer.config.patch_size)
    adapters.fits(pipe.transformer, pipe.transformer.config.in_channels, vae.spec.channels, beside)

    def encode(texts: list[str]) -> dict[str, Tensor]:
        """As text to video has it: that of pictures is the same, but fails where ftfy is not installed."""
        from diffusers.pipelines.wan.pipeline_wan import WanPipeline

        options = {"max_sequence_length": LONGEST, "device": adapters.runs_on(pipe.text_encoder)}
        return {"text": WanPipeline._get_t5_prompt_embeds(pipe, texts, **options)}

    asked = inspect.signature(type(pipe).__call__).parameters
    per_token = bool(pipe.config.expand_timesteps)
    return clips.clip(
        pipe,
        about,
        vae,
        size=(asked["height"].default, asked["width"].default),
        frames=asked["num_frames"].default,
        rate=RATES[per_token],
        patch=patch[-1],
        token=patch if per_token else None,
        boundary=pipe.config.boundary_ratio - EDGE if pipe.config.boundary_ratio else None,
        text=adapters.Texts(encode=encode, spans=[adapters.Span(tokenizer=pipe.tokenizer, length=LONGEST)]),
        denoiser=adapters.denoiser(network(pipe, patch if per_token else None), pipe.scheduler),
        schedule=schedules.schedule_of(pipe.scheduler),
        **more,
    )


def network(pipe: Any, token: tuple[int, ...] | None) -> adapters.Net:
    """One network, or the two that share the noise, the second one from `boundary` down."""
    boundary = (pipe.config.boundary_ratio or 0.0) * pipe.scheduler.config.num_train_timesteps
    experts = [expert for expert in (pipe.transformer, pipe.transformer_2) if expert is not None]

    def call(networks: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        net = networks[0 if len(experts) == 1 or float(t.max()) >= boundary else 1]
        told = t if token is None or t.ndim == 1 else each_token(t, token)
        seen = {"encoder_hidden_states": cond["text"], "encoder_hidden_states_image": seen_image(net, cond)}
        given = torch.cat((x, cond["shown"]), 1) if "shown" in cond else x
        return net(hidden_states=given, timestep=told, **seen, return_dict=False)[0]

    return adapters.Net(nn.ModuleList(experts), call)


def seen_image(transformer: Any, cond: Mapping[str, Any]) -> Tensor | None:
    """What CLIP saw in the pictures, as rows: one of each that the network was made for."""
    image, both = cond.get("image"), transformer.config.pos_embed_seq_len
    return rearrange(image, "b (p l) d -> (b p) l d", p=2) if image is not None and both else image


def each_token(t: Tensor, token: tuple[int, ...]) -> Tensor:
    """Times [B, 1, F, h, w] -> [B, tokens]. Where all tokens have one time, the network is told that one: it would make
    the same of it for each of them, which is a hundredth of a step and most of its memory (of 27 280 tokens 2 GB)."""
    frames, down, across = token
    return t[:, 0, ::frames, ::down, ::across].flatten(1)
