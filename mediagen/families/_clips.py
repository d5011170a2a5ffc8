"""What families of video share: models of clips, the picture that a clip begins with, noise that is drawn frames
first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..conditioners.base import Cond
from ..core.rng import Drawn, Noise
from . import _adapters as adapters
from .model import Model


def clip(
    pipe: Any, about: adapters.About, vae: Any, *, size: Sequence[int], frames: int, rate: float, **parts: Any
) -> Model:
    """The `Model` of a checkpoint that makes clips. size: (height, width), frames, rate: what it is best at; parts:
    text, denoiser, schedule and what else its family says, `patch` (latents a side of a token) among them."""
    multiple = vae.spec.stride[-1] * parts.pop("patch", 1)
    best = {"size": tuple(size), "multiple": multiple, "rate": float(rate), "seconds": frames / rate}
    return adapters.model(pipe, about, modality="video", autoencoder=vae, **best, **parts)


def texts(pipe: Any, longest: int, *names: str, **options: Any) -> adapters.Texts:
    """The texts of a pipeline whose `encode_prompt` gives tensors of these names, the first ones of what it gives, and
    whose one tokenizer reads up to `longest` tokens."""

    def encode(prompts: list[str]) -> Cond:
        given = {"do_classifier_free_guidance": False, "max_sequence_length": longest} | options
        made = pipe.encode_prompt(prompts, device=adapters.runs_on(pipe.text_encoder), **given)
        return dict(zip(names, made, strict=False))

    return adapters.Texts(encode=encode, spans=[adapters.Span(tokenizer=pipe.tokenizer, length=longest)])


def first_picture(job: Any) -> Tensor:
    """[1, 3, 1, H, W] in [-1, 1]: what the clip begins with."""
    return job.known[:, :, :1]


def sampled(vae: adapters.PublishedVAE, media: Tensor, noise: Noise, n: int) -> Tensor:
    """Raw latents of media [1, C, *size] as n draws from what the encoder makes of them."""
    spread = vae.vae.encode(media.to(adapters.runs_on(vae.vae), vae.vae.dtype)).latent_dist
    mean, std = (each.to(media).expand(n, *each.shape[1:]) for each in (spread.mean, spread.std))
    return mean + std * noise(0, mean)


def ahead(picture: Tensor, frames: int) -> Tensor:
    """Latents of a picture [n, C, 1, h, w] -> those of a clip that shows nothing after it."""
    empty = torch.zeros_like(picture).expand(-1, -1, frames - 1, -1, -1)
    return torch.cat((picture, empty), 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class FramesFirst(Drawn):
    """Noise that is drawn [B, F, C, h, w], of clips whose latents lie so where they were published.

    fold: latents that one position of ours holds, side by side in its channels. again: whether each step but the first
    one draws twice and leaves the first draw unused, as CogVideoX's SDE does. walking: whether this is the noise of
    steps."""

    fold: int = 1
    again: bool = False
    walking: bool = False

    def __call__(self, step: int, like: Tensor) -> Tensor:
        if self.again and self.walking and step:
            self._next(like)
        return self._next(like)

    def of(self, purpose: str) -> Drawn:
        if purpose == "shown":  # a picture, which has no frames
            return Drawn(generator=self.generator)
        return FramesFirst(generator=self.generator, fold=self.fold, again=self.again, walking=purpose == "step")

    def _next(self, like: Tensor) -> Tensor:
        laid = unfolded(like, self.fold).transpose(1, 2)
        return folded(super().__call__(0, laid.contiguous()).transpose(1, 2), self.fold)


def folded(z: Tensor, fold: int) -> Tensor:
    """[B, C, F, h, w] -> [B, fold C, F / fold, h, w]: latents that follow one another side by side."""
    return rearrange(z, "b c (f p) h w -> b (p c) f h w", p=fold)


def unfolded(z: Tensor, fold: int) -> Tensor:
    """The inverse of `folded`."""
    return rearrange(z, "b (p c) f h w -> b c (f p) h w", p=fold)
