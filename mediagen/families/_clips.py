"""What families of video share: models of clips, the picture that a clip begins with, noise that is drawn frames
first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..autoencoders.base import LatentSpec, filled
from ..conditioners.base import Cond
from ..conditioners.scalar import Scalar
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


def kept(job: Any, ends: Sequence[str]) -> Tensor:
    """[1, 1, M, H, W], 1 at the frames that the network is shown: the pictures that a new clip begins and ends with, or
    the first frame alone."""
    if "last" in ends and job.requests[0].last is not None:
        return job.keep
    first = torch.zeros_like(job.known[:, :1])
    first[:, :, 0] = 1
    return first


def sampled(vae: adapters.PublishedVAE, media: Tensor, noise: Noise, n: int) -> Tensor:
    """Raw latents of media [1, C, *size] as n draws from what the encoder makes of them."""
    spread = vae.vae.encode(media.to(adapters.runs_on(vae.vae), vae.vae.dtype)).latent_dist
    mean, std = (each.to(media).expand(n, *each.shape[1:]) for each in (spread.mean, spread.std))
    return mean + std * noise(0, mean)


def beside(vae: adapters.PublishedVAE, job: Any) -> Tensor:
    """[1, C + 1, F, h, w]: the latents of the picture that a clip begins with, with a 1, and zeros after it."""
    picture = vae.encode(first_picture(job))
    return filled(torch.cat((picture, torch.ones_like(picture[:, :1])), 1), job.grid[0])


class Wordless:
    """The conditioner of a model that reads no words."""

    def __call__(self, prompts: Sequence[str]) -> Cond:
        self.lengths(prompts)
        return {}

    def null(self, n: int) -> Cond:
        return {}

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """No tokens each; ValueError for a prompt that says something."""
        if said := [prompt for prompt in prompts if prompt.strip()]:
            raise ValueError(
                f"this model reads no words, it is shown a picture: the prompt must be '', not {said[0]!r}"
            )
        return [0] * len(prompts)

    def forget(self) -> None:
        """Nothing was encoded."""


class Limits(Scalar):
    """Of a number that the family itself reads of the request: what it may be."""

    def __call__(self, values: Sequence[float], /) -> Cond:
        super().__call__(values)
        return {}

    def null(self, n: int, /) -> Cond:
        return {}


class FrameVAE(adapters.PublishedVAE):
    """An autoencoder of pictures that codes a clip frame by frame, whose decoder may look at the frames beside (an
    `AutoencoderKLTemporalDecoder`)."""

    def __init__(self, vae: Any) -> None:
        config, levels = vae.config, len(vae.config.block_out_channels)
        self.beside = type(vae).__name__ == "AutoencoderKLTemporalDecoder"
        spec = LatentSpec(channels=config.latent_channels, stride=(1, 2 ** (levels - 1), 2 ** (levels - 1)))
        reach = adapters.reach_of(levels, config.layers_per_block + 1)
        super().__init__(vae, spec, (2 * reach * self.beside, reach, reach), [0.0], [1 / config.scaling_factor])

    def encode(self, x: Tensor) -> Tensor:
        """Clips [B, 3, F, H, W] in [-1, 1] -> whitened latents [B, C, F, h, w]; ValueError for a size off the
        stride."""
        self.spec.grid(x.shape[2:])
        given = rearrange(x, "b c f h w -> (b f) c h w").to(adapters.runs_on(self.vae), self.dtype)
        coded = self.vae.encode(given).latent_dist.mode().to(x)
        return rearrange(coded, "(b f) c h w -> b c f h w", b=len(x)) / self.std.to(x.device)

    def decode(self, z: Tensor) -> Tensor:
        """Whitened latents [B, C, F, h, w] -> clips [B, 3, F, H, W], about [-1, 1]."""
        raw = rearrange(z * self.std.to(z.device), "b c f h w -> (b f) c h w").to(
            adapters.runs_on(self.vae), self.dtype
        )
        told = {"num_frames": z.shape[2]} if self.beside else {}
        made = self.vae.decode(raw, **told, return_dict=False)[0].to(z)
        return rearrange(made, "(b f) c h w -> b c f h w", b=len(z))


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Tinted:
    """Noise with a trace of a picture's latents [1, C, 1, h, w] in it, in each frame; what steps add has none."""

    noise: Noise
    over: Tensor
    amount: float

    def __call__(self, step: int, like: Tensor) -> Tensor:
        return torch.lerp(self.noise(step, like), self.over.to(like).expand_as(like), self.amount)

    def of(self, purpose: str) -> Any:
        return self.noise.of(purpose)


def folded(z: Tensor, fold: int) -> Tensor:
    """[B, C, F, h, w] -> [B, fold C, F / fold, h, w]: latents that follow one another side by side. In each step, where
    einops takes 10 us."""
    if fold == 1:
        return z
    batch, channels, _, *sides = z.shape
    apart = z.reshape(batch, channels, -1, fold, *sides)
    return apart.permute(0, 3, 1, 2, 4, 5).reshape(batch, fold * channels, -1, *sides)


def unfolded(z: Tensor, fold: int) -> Tensor:
    """The inverse of `folded`."""
    if fold == 1:
        return z
    batch, channels, frames, *sides = z.shape
    apart = z.reshape(batch, fold, channels // fold, frames, *sides)
    return apart.permute(0, 2, 3, 1, 4, 5).reshape(batch, channels // fold, -1, *sides)
