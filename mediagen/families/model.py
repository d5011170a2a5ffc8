"""What a family gives to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..autoencoders.base import Autoencoder, LatentSpec
from ..conditioners.base import Cond, Conditioner
from ..conditioners.scalar import Scalar
from ..core.denoiser import Denoiser

if TYPE_CHECKING:
    from ..request import Request


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Times from noise to data, falling, and what the noise to start from is multiplied by."""

    times: tuple[float, ...]
    begin: float = 1.0


def nothing_told(request: Request, n: int) -> Cond:
    """What most models are told beside texts and scalars."""
    return {}


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
    told: (request, n) -> what else n samples tell the network, asked for or not, as named tensors [n, ...]: the size of
    the media, say, or the scale of a guidance that it was distilled with; distilled: whether it was.
    schedule: (steps, latent grid) -> the times that the checkpoint was published with; the timing named "Published".
    whole: whether media are coded at once, whatever their size: for an autoencoder that looks at all of it.
    """

    name: str
    modality: str
    size: tuple[int, ...]
    multiple: int
    text: Conditioner
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
    told: Callable[[Request, int], Cond] = nothing_told
    distilled: bool = False
    schedule: Callable[[int, tuple[int, ...]], Schedule] | None = None
    whole: bool = False

    @property
    def spec(self) -> LatentSpec:
        return self.autoencoder.spec
