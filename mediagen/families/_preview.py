"""Small pictures of latents while they are made: an affine map from latents to colours, fitted to the autoencoder.

The latents of published autoencoders are near to a shrunk picture: a matrix of a few numbers for each channel shows
what will be. It is fitted by least squares when a preview is first asked for: coloured shapes with soft and hard edges
are encoded, and colours averaged over a latent's pixels are told from it and from its channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autoencoders.base import Autoencoder, smaller
from ..errors import first_line
from . import _hub as hub
from .model import Model

SHOWN, SIDE = 8, 16  # pictures that it is fitted on, and latents a side of each
RIDGE = 1e-4


def whole(z: Tensor) -> Tensor:
    """Of most latents all are of a picture."""
    return z


@dataclass(eq=False)
class Affine:
    """Whitened latents [B, C, *grid] -> media [B, 3, *grid] in about [-1, 1]; `weights` is found at the first call.
    part: those of the latents that are a picture's."""

    autoencoder: Autoencoder
    part: Callable[[Tensor], Tensor] = whole

    def __call__(self, z: Tensor) -> Tensor:
        z = self.part(z)
        shown = torch.einsum("kc,bc...->bk...", self.weights[:, 1:], z.float())
        return shown + self.weights[:, 0].view(1, -1, *(1,) * (z.ndim - 2))

    @cached_property
    def weights(self) -> Tensor:
        """[3, 1 + C]: an offset and a share of each channel."""
        spec = self.autoencoder.spec
        pictures = shapes(SHOWN, [SIDE * step for step in spec.stride[-2:]])
        media = pictures if spec.dims == 2 else pictures[:, :, None]  # a clip of one frame is one latent
        with torch.no_grad():
            made = torch.cat([self.part(self.autoencoder.encode(one[None])).float() for one in media])
        goal = smaller(pictures, [side // n for side, n in zip(pictures.shape[2:], made.shape[-2:], strict=True)])
        latents = made.flatten(2)
        told = torch.cat((torch.ones_like(latents[:, :1]), latents), 1).movedim(1, -1).flatten(0, 1).double()
        wanted = goal.flatten(2).movedim(1, -1).flatten(0, 1).double()
        square = told.T @ told + RIDGE * len(told) * torch.eye(told.shape[1])
        return torch.linalg.solve(square, told.T @ wanted).T.float()


def preview(asked: Any, model: Model) -> Callable[[Tensor], Tensor] | None:
    """What shows a model's latents: an AutoencoderTiny by folder or repository, the affine map where nothing is asked
    for (None), or nothing (False), as for media that are no pictures."""
    spec, part = model.spec, getattr(model.autoencoder, "pictured", whole)
    if asked is None:
        alone = spec.causal or spec.stride[0] == 1  # one frame is one latent
        shows = spec.media_channels == 3 and (spec.dims == 2 or (spec.dims == 3 and alone))
        return model.preview or (Affine(model.autoencoder, part) if shows else None)
    if asked is False:
        return None
    if spec.dims != 2:
        raise ValueError(f"an AutoencoderTiny shows pictures, {model.name} makes clips: leave out preview")
    return tiny(asked, part, part(torch.zeros(1, spec.channels, 1, 1)).shape[1])


def shapes(n: int, size: list[int]) -> Tensor:
    """Pictures [n, 3, *size] in [-1, 1] of colours that run into one another and of those that meet at an edge; the
    same each time."""
    g = torch.Generator().manual_seed(0)
    made = torch.empty(n, 3, *size)
    for number, picture in enumerate(made):
        cells = 2 ** (1 + number % 4)
        mode = "nearest" if number % 2 else "bicubic"
        coarse = torch.randn(1, 3, cells, cells, generator=g)
        picture[:] = F.interpolate(coarse, size, mode=mode)[0]
    return made.clamp(-1, 1)


def tiny(source: str | Path, part: Callable[[Tensor], Tensor], channels: int) -> Callable[[Tensor], Tensor]:
    """A folder or repository of an AutoencoderTiny (TAESD), whose latents, of so many channels, are whitened as ours
    are. part: ours as they are published. ValueError for another one, or one of other latents."""
    import diffusers

    local = Path(source).exists() or not hub.answers()
    try:
        vae = diffusers.AutoencoderTiny.from_pretrained(source, use_safetensors=True, local_files_only=local)
    except Exception as error:  # of several libraries
        raise ValueError(f"there is no AutoencoderTiny at {source}: {first_line(error)}") from error
    if vae.config.latent_channels != channels:
        raise ValueError(f"{source} shows {vae.config.latent_channels} channels, the latents have {channels}")
    vae.eval().requires_grad_(False)
    return lambda z: vae.decode(part(z.float()), return_dict=False)[0]
