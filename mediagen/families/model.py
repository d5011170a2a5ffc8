"""What a family gives to the pipeline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..autoencoders.base import Autoencoder, LatentSpec
from ..conditioners.scalar import Scalar
from ..conditioners.text import TextEncoder
from ..core.denoiser import Denoiser


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A loaded model. `hash` names its exact weights; `size` and `defaults` are what it is best at.

    multiple: what every side of the media must be a multiple of (the autoencoder's stride times the patch).
    preview: whitened latents -> a small picture, quickly; None where a model has none.
    scalars: the numbers that condition it beside the text; the denoiser's condition has a code of each, or its null.
    signals: what the denoiser can be shown on its own grid, name -> channels: "context", other media, to make what
    goes with them; "beats", of music.
    token: latent cells of a token, one entry an axis, of a denoiser that was trained with times per token (known
    ones at t = 0); None for one that was not.
    rate: samples or frames a second and seconds: the length that it is best at, of media that have a time.
    """

    name: str
    modality: str
    size: tuple[int, ...]
    multiple: int
    text: TextEncoder
    denoiser: Denoiser
    autoencoder: Autoencoder
    preview: Callable[[Tensor], Tensor] | None
    defaults: Mapping[str, Any]
    hash: str
    scalars: tuple[Scalar, ...] = ()
    signals: Mapping[str, int] = field(default_factory=dict)
    token: tuple[int, ...] | None = None
    rate: float | None = None
    seconds: float | None = None

    @property
    def spec(self) -> LatentSpec:
        return self.autoencoder.spec
