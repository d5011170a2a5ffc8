"""Pictures as a denoiser's training sees them: cached latents, or the pixels themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..autoencoders.whitened import Whitened
from . import pictures as images
from .denoise import Batch, Numbers
from .journal import Journal
from .latents import Latents
from .recipes import DenoiserRecipe
from .trainer import Place


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """A `Medium`. Without an autoencoder there are no latents, and states are pixels in [-1, 1]."""

    recipe: DenoiserRecipe
    source: images.Source
    vae: Whitened | None
    latents: Latents | None
    ranges: Mapping[str, tuple[float, float]]

    def __len__(self) -> int:
        return len(self.source)

    def captions(self, i: int) -> tuple[str, ...]:
        return self.source.captions(i)

    def epoch(self) -> np.ndarray:
        return images.repeated(self.source, self.recipe.repeat)

    def cuts(self, chosen: np.ndarray, rng: np.random.Generator) -> Sequence[Any]:
        """Indices: a picture is always seen whole."""
        return chosen.tolist()

    def example(self, cut: int) -> int:
        return cut

    def states(self, cuts: Sequence[Any]) -> tuple[Tensor, Numbers]:
        return images.whole(self.source, cuts) if self.latents is None else images.pick(self.latents, cuts), {}

    def media(self, cuts: Sequence[Any]) -> Tensor:
        return images.whole(self.source, cuts)

    def signals(self, cuts: Sequence[Any]) -> Mapping[str, Tensor]:
        """A picture is made from nothing but words."""
        return {}

    @torch.no_grad()
    def heldout(self, count: int) -> Batch:
        media = fitted(self.recipe, "heldout")
        x = images.whole(media, range(count))
        x0 = x if self.vae is None else self.vae.encode(x.to(next(self.vae.parameters()).device))
        return Batch(x0=x0, captions=[media.captions(i % len(media))[0] for i in range(count)], numbers={})

    def show(self, journal: Journal, step: int, x0: Tensor) -> None:
        journal.pictures(step, "samples", x0 if self.vae is None else self.vae.decode(x0))

    def card(self) -> dict[str, Any]:
        return {"modality": "image", "size": [self.recipe.size, self.recipe.size]}


def pictures(recipe: DenoiserRecipe, vae: Whitened | None, multiple: int, here: Place) -> Pictures:
    """A recipe's pictures. ValueError if they do not fit its size, or its autoencoder is none of pictures."""
    media = fitted(recipe, "train")
    if vae is not None and vae.spec.dims != 2:
        raise ValueError(f"{recipe.vae} has latents of {vae.spec.dims} axes; those of pictures have 2")
    cache = None if vae is None else images.latents_of(media, vae, str(recipe.vae), recipe.data, here)
    return Pictures(recipe=recipe, source=media, vae=vae, latents=cache, ranges={})


def fitted(recipe: DenoiserRecipe, split: str) -> images.Source:
    """A split of a recipe's pictures, at its size."""
    return images.fitted(images.source(recipe.data, split, recipe.size), recipe.size)
