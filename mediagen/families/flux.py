"""Flux.1 (dev and schnell): a transformer on the straight path over tokens of two by two latents.

It is told the guidance scale (dev) or none at all (schnell), so there is no second branch. Tokens are packed and
unpacked by encoding and decoding: a state is [B, 4 C, h / 2, w / 2], a position of it is a token, and masks and known
latents are given to it as to all others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.rng import Drawn
from . import _adapters as adapters
from . import _control as controls
from . import _schedule as schedules
from .model import Model

PIPELINES = ("FluxPipeline",)
OPTIONS = {"feature_extractor": None, "image_encoder": None}
LONGEST = 512  # tokens of T5
PATCH = 2
STEPS = 4  # of schnell, as it is published for; its pipeline's default is that of dev


class PackedVAE(adapters.PublishedVAE):
    """Its autoencoder, two by two latents as one position with all of their channels."""

    patch = PATCH

    def __init__(self, vae: Any) -> None:
        plain = adapters.picture_vae(vae)
        stride = tuple(step * PATCH for step in plain.spec.stride)
        spec = replace(plain.spec, channels=plain.spec.channels * PATCH**2, stride=stride)
        mean, std = plain.mean.flatten().tolist(), plain.std.flatten().tolist()
        super().__init__(vae, spec, -(-plain.reach // PATCH), mean, std)

    def encode(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(super().encode(x), PATCH)

    def decode(self, z: Tensor) -> Tensor:
        return super().decode(self.pictured(z))

    def pictured(self, z: Tensor) -> Tensor:
        """The latents as they are published [B, C, h, w], which a preview shows."""
        return F.pixel_shuffle(z, PATCH)


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnPlain(Drawn):
    """Noise that is drawn as latents are published, and packed then."""

    def __call__(self, step: int, like: Tensor) -> Tensor:
        return F.pixel_unshuffle(super().__call__(step, F.pixel_shuffle(like, PATCH)), PATCH)


def model(pipe: Any, about: adapters.About) -> Model:
    parts = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
    adapters.missing(pipe, parts)
    if (packed := pipe.transformer.config.in_channels) != pipe.vae.config.latent_channels * PATCH**2:
        raise ValueError(
            f"its transformer takes {packed} channels: inpainting and control checkpoints are not there yet"
        )

    net, vae = adapters.Net(pipe.transformer, call, ready=ready), PackedVAE(pipe.vae)

    def encode(texts: list[str]) -> dict[str, Tensor]:
        place = adapters.runs_on(pipe.text_encoder)
        text, pooled, _ = pipe.encode_prompt(texts, None, device=place, max_sequence_length=LONGEST)
        return {"text": text, "pooled": pooled}

    def told(request: Any, n: int) -> dict[str, Tensor]:
        embeds = pipe.transformer.config.guidance_embeds
        return {"scale": torch.full((n,), request.walk.guidance)} if embeds else {}

    quick = not (pipe.transformer.config.guidance_embeds or pipe.scheduler.config.get("use_dynamic_shifting"))
    return adapters.picture(
        pipe,
        about,
        sample=pipe.default_sample_size // PATCH,
        autoencoder=vae,
        text=adapters.Texts(encode=encode, spans=[adapters.Span(tokenizer=pipe.tokenizer_2, length=LONGEST)]),
        denoiser=adapters.denoiser(net, pipe.scheduler, clock=clock_of(pipe.scheduler)),
        schedule=schedules.schedule_of(pipe.scheduler, schedules.even_levels(patch=1, own=True)),
        told=told,
        drawn=lambda generator, request: DrawnPlain(generator=generator),
        distilled=True,
        walk={"steps": STEPS} if quick else {},
        adapts={"control": controls.reader(pipe.transformer, net, control(vae))},
    )


def clock_of(scheduler: Any) -> Callable[[Any, Any, Any], Any]:
    """The scheduler's own times, some of which are whole, as shares of all."""
    told, count = schedules.clock_of(scheduler), scheduler.config.num_train_timesteps
    return lambda t, alpha, sigma: told(t, alpha, sigma) / count


def ready(cond: dict[str, Any]) -> dict[str, Any]:
    """What of a condition the transformer is told, put together once for all steps."""
    return {"guidance": cond.get("scale"), **said(cond), **added(cond)}


def call(transformer: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
    y = transformer(tokens(x), **cond, **at(x, t, cond), return_dict=False)[0]
    return y.mT.unflatten(2, x.shape[2:])


def tokens(x: Tensor) -> Tensor:
    """[B, C, rows, columns] -> [B, rows * columns, C], which an answer of the transformer is in memory already."""
    return x.flatten(2).mT


def added(cond: Mapping[str, Any]) -> dict[str, Any]:
    """What control networks add."""
    if "blocks" not in cond:
        return {}
    blocks, singles = (list(cond[name]) or None for name in ("blocks", "singles"))
    return {"controlnet_block_samples": blocks, "controlnet_single_block_samples": singles}


def said(cond: Mapping[str, Any]) -> dict[str, Any]:
    """What the transformer and its control networks are told of the text."""
    return {"encoder_hidden_states": cond["text"], "pooled_projections": cond["pooled"]}


def at(x: Tensor, t: Tensor, said: Mapping[str, Any]) -> dict[str, Any]:
    """What they are told of the time and of the places of the tokens of text and picture."""
    words, (_, _, rows, columns) = said["encoder_hidden_states"].shape[1], x.shape
    text, picture = where(words, rows, columns, x.dtype, x.device)
    return {"timestep": t if t.dtype == x.dtype else t.to(x.dtype), "txt_ids": text, "img_ids": picture}


def control(vae: PackedVAE) -> controls.Kind:
    """Its control networks are shown the latents of a picture."""

    def residuals(
        network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, asked: controls.Control
    ) -> controls.Residuals:
        guidance = cond.get("scale") if network.config.guidance_embeds else None
        options = {"guidance": guidance, "conditioning_scale": asked.weight, "return_dict": False}
        if asked.mode is not None:
            options["controlnet_mode"] = torch.full((len(x), 1), asked.mode, device=x.device)
        text = said(cond)
        blocks, singles = network(tokens(x), tokens(entry), **options, **text, **at(x, t, text))
        return {"blocks": tuple(blocks or ()), "singles": tuple(singles or ())}

    return controls.Kind(
        name="FluxControlNetModel",
        alike=("in_channels", "joint_attention_dim", "pooled_projection_dim"),
        call=residuals,
        code=lambda z, _: vae.encode(z),
        plain={"conditioning_embedding_channels": None},
        modes="num_mode",
    )


@lru_cache(maxsize=8)
def where(words: int, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the tokens of text and picture lie, made once for all steps."""
    return torch.zeros(words, 3, dtype=dtype, device=device), places(rows, columns).to(device, dtype)


def places(rows: int, columns: int) -> Tensor:
    """[rows * columns, 3]: (0, row, column) of each token."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack((torch.zeros_like(row), row, column), -1).flatten(0, 1)
