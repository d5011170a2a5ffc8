"""Stable Audio Open: a transformer over the latents of stereo sound, told where in a piece it is and how long that is.

It was trained on one length, about 47 s, of which what is asked for is the beginning; longer pieces go in windows of
that length, each told its own place. Its walk is an SDE: v prediction on the quarter circle, DPM-Solver++(2M).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ..conditioners.base import Cond
from ..conditioners.scalar import Scalar
from . import _adapters as adapters
from . import _schedule as schedules
from ._brownian import Brownian
from ._outline import zeros
from ._sound import oobleck
from .model import Model

PIPELINES = ("StableAudioPipeline",)
OPTIONS: dict[str, Any] = {}
LIBRARIES = ("stable_audio",)  # has the projection of texts and seconds
READ = {"projection_model": zeros}
RULES = {"midpoint": "dpmpp_2m", "heun": "res_2m"}  # of the second order; of the first, euler


@dataclass(frozen=True, kw_only=True)
class Second(Scalar):
    """A time in seconds as the checkpoint codes it: {name: [B, D]}, a token that is zero where nothing was asked for,
    and {name + "_fact": [B, D]}, which the network is told in every case."""

    code: nn.Module = field(repr=False, compare=False)

    @torch.no_grad()
    def __call__(self, values: Any, /) -> Cond:
        if wrong := [v for v in values if not self.low <= v <= self.high]:
            raise ValueError(f"{self.name} must lie in {self.low:g}..{self.high:g}, got {wrong[0]}")
        place = next(self.code.parameters()).device
        told = self.code(torch.tensor(values, dtype=torch.float32, device=place))[:, 0].cpu()
        return {self.name: told, f"{self.name}_fact": told}


def model(pipe: Any, about: adapters.About) -> Model:
    parts = ("transformer", "vae", "text_encoder", "projection_model", "tokenizer", "scheduler")
    adapters.missing(pipe, parts)
    vae, shape, plan = oobleck(pipe.vae), pipe.transformer.config, pipe.scheduler
    adapters.fits(pipe.transformer, shape.in_channels, vae.spec.channels)
    samples = int(shape.sample_size) * vae.spec.stride[0]  # which the published configuration says as 1024.0
    rate = pipe.vae.config.sampling_rate

    def encode(texts: list[str]) -> dict[str, Tensor]:
        return {"text": pipe.encode_prompt(texts, pipe.text_encoder.device, False)}

    span = adapters.Span(tokenizer=pipe.tokenizer, length=pipe.tokenizer.model_max_length)
    net = adapters.Net(pipe.transformer, Call(pipe.rotary_embed_dim), ready=ready)
    schedule = schedules.schedule_of(plan)
    made = adapters.model(
        pipe,
        about,
        modality="audio",
        autoencoder=vae,
        size=(samples,),
        multiple=samples,
        rate=rate,
        seconds=samples / rate,
        scalars=seconds_of(pipe.projection_model),
        text=adapters.Texts(encode=encode, spans=[span], zeros=True),
        denoiser=adapters.denoiser(net, plan),
        schedule=schedule,
    )
    if not type(plan).__name__.startswith("Cosine"):  # another than the published one draws plainly, or nothing
        return made
    made = replace(made, drawn=lambda generator, request: drawn(generator, request, plan, schedule))
    return replace(made, defaults={**made.defaults, "solver": rule_of(plan)})


def seconds_of(projection: Any) -> tuple[Second, Second]:
    """The seconds of a whole piece, and the second of it that a window begins with."""
    config = projection.config
    common = {"low": config.min_value, "high": config.max_value, "width": config.conditioning_dim}
    whole = Second(name="seconds", code=projection.end_number_conditioner, **common)
    return whole, Second(name="start", code=projection.start_number_conditioner, **common)


def rule_of(scheduler: Any) -> str:
    """Our rule for its order and type."""
    order, kind = scheduler.config.solver_order, scheduler.config.solver_type
    if order not in (1, 2) or kind not in RULES:
        raise ValueError(f"{type(scheduler).__name__} of order {order} and type {kind} is not supported")
    return "euler" if order == 1 else RULES[kind]


def drawn(generator: torch.Generator, request: Any, scheduler: Any, schedule: Any) -> Brownian:
    """Noise as the published pipeline takes it from a generator. ValueError for another timing than the published."""
    walk, path, config = request.walk, schedules.path_of(scheduler), scheduler.config
    if walk.timing != {"name": "Published"}:
        raise ValueError("a generator is drawn from along the published schedule: leave out timing, or give a seed")
    levels = [sigma / alpha for alpha, sigma in map(path, schedule(walk.steps, ()).times)]
    return Brownian(generator=generator, levels=levels, low=config.sigma_min, high=config.sigma_max)


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """The tokens that the transformer is told, those of the text and both times, and the facts, in one token."""
    times = [cond[name][:, None] for name in ("start", "seconds")]
    facts = torch.cat((cond["start_fact"], cond["seconds_fact"]), -1)[:, None]
    return cond | {"tokens": torch.cat((cond["text"], *times), 1), "facts": facts}


class Call:
    """How the transformer is called. width: of its rotary embedding; the state has one more position, for the facts."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rotary = lru_cache(maxsize=8)(self._rotary)

    def __call__(self, transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        return transformer(
            x,
            t,
            encoder_hidden_states=cond["tokens"],
            global_hidden_states=cond["facts"],
            rotary_embedding=tuple(each.to(x) for each in self.rotary(x.shape[2] + 1)),
            return_dict=False,
        )[0]

    def _rotary(self, length: int) -> tuple[Tensor, Tensor]:
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        return get_1d_rotary_pos_embed(self.width, length, use_real=True, repeat_interleave_real=False)
