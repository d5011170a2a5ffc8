"""What the training of a denoiser must know of what it makes: the one protocol behind which media differ.

A medium is a file with a class of its own (`medium_image`, `medium_audio`, `medium_video`); the run, the loss, the
captions and the model's files are the same for all.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ..autoencoders.whitened import Whitened
from .denoise import Batch, Numbers
from .journal import Journal
from .recipes import DenoiserRecipe
from .trainer import Place


class Medium(Protocol):
    """Captioned examples to train on, by index, and what is made shown and described.

    ranges: the numbers that examples have beside their captions, name -> (lowest, highest); scalars are among these.
    """

    ranges: Mapping[str, tuple[float, float]]

    def __len__(self) -> int: ...

    def captions(self, i: int) -> tuple[str, ...]: ...

    def epoch(self) -> np.ndarray:
        """The indices that one epoch shows."""
        ...

    def example(self, cut: Any) -> int:
        """The index of the example that a cut is of, whose captions go with it."""
        ...

    def cuts(self, chosen: np.ndarray, rng: np.random.Generator) -> Sequence[Any]:
        """What a batch sees of each chosen example: a stretch of it, or all. One batch has one size."""
        ...

    def states(self, cuts: Sequence[Any]) -> tuple[Tensor, Numbers]:
        """Clean states [B, C, *grid] of what `cuts` gave, and the numbers of each."""
        ...

    def media(self, cuts: Sequence[Any]) -> Tensor:
        """The media themselves [B, channels, *size] in [-1, 1], whose states `states` gives."""
        ...

    def signals(self, cuts: Sequence[Any]) -> Mapping[str, Tensor]:
        """What the network is shown beside the states of `cuts`, name -> [B, its channels, *grid]."""
        ...

    def heldout(self, count: int) -> Batch:
        """The first held-out examples (of a user's own folder: the first ones), always the same stretches."""
        ...

    def show(self, journal: Journal, step: int, x0: Tensor) -> None:
        """Clean states [N, C, *grid], decoded into the journal."""
        ...

    def card(self) -> dict[str, Any]:
        """What a model card says of the medium: modality and size."""
        ...


def find(recipe: DenoiserRecipe, vae: Whitened | None, multiple: int, here: Place) -> Medium:
    """The medium of a recipe's modality, its examples ready (latents are made where they are missing).

    multiple: what each side of a grid must be a multiple of. ValueError for an unknown modality, and for data, an
    autoencoder or scalars that do not fit.
    """
    from . import medium_audio, medium_image, medium_video

    kinds = {"image": medium_image.pictures, "audio": medium_audio.sounds, "video": medium_video.films}
    if recipe.modality not in kinds:
        raise ValueError(f"unknown modality {recipe.modality!r}; known: {', '.join(kinds)}")
    medium = kinds[recipe.modality](recipe, vae, multiple, here)
    for scalar in recipe.scalars:
        if scalar.name not in medium.ranges:
            there = ", ".join(medium.ranges) or "none"
            raise ValueError(f"unknown scalar {scalar.name!r}; the numbers of {recipe.modality} data are: {there}")
        scalar(medium.ranges[scalar.name])  # raises unless all the data lie in its range
    return medium
