"""What a family gives to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..autoencoders.base import Autoencoder, LatentSpec
from ..conditioners.base import Cond, Conditioner
from ..conditioners.scalar import Scalar
from ..core.denoiser import Denoiser
from ..core.path import Path
from ..core.rng import Noise

if TYPE_CHECKING:
    from ..request import Refined, Request


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Times from noise to data, falling, or pairs (from, to) of steps that overlap, and what the noise to start from is
    multiplied by."""

    times: tuple[Any, ...]
    begin: float = 1.0

    @property
    def steps(self) -> int:
        return len(self.times) - isinstance(self.times[0], float)


@dataclass(frozen=True, kw_only=True)
class Enlarging:
    """How many times larger a picture is made, and how strong the noise is, in 0 .. 1, that is put on the one that the
    network is shown, where nothing is said, and at most."""

    factor: int
    strength: float
    strongest: float = 1.0


def nothing_kept() -> None:
    """What most models do when their text encoders have changed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapts:
    """What can be put on a model for a request, and what reads the files of it; None: nothing of this kind.

    parts: the networks that LoRA goes on, by the names that files have for them; none: the denoiser's. renamed: keys of
    other releases' LoRA -> theirs. learn: path -> a word that the text encoders know. control: path -> a control
    network. pictures: image prompts (`families._pictures.Shown`). forget: called when the text encoders have changed.
    """

    parts: Mapping[str, nn.Module] = field(default_factory=dict)
    renamed: Callable[[dict[str, Tensor]], Mapping[str, Any]] | None = None
    learn: Callable[[str], Any] | None = None
    control: Callable[[str], Any] | None = None
    pictures: Any = None
    forget: Callable[[], None] = nothing_kept


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
    ones at t = 0); None for one that was not. knows: whether it is told one time all the same, and knows itself which
    tokens are clean.
    rate: samples or frames a second and seconds: the length that it is best at, of media that have a time.
    sings: whether it takes lyrics, of a model of sound.
    told: (request, n) -> what else n samples tell the network, asked for or not, as named tensors [n, ...]: the size of
    the media, say, or the scale of a guidance that it was distilled with; distilled: whether it was.
    shown: (job, noise) -> what else the network is shown in its place, asked for or not, as named tensors [1 or n, C,
    *grid]: a masked picture, say. Such a network itself keeps what is known; None for one that is shown nothing.
    contrast: what guidance leads away from, of a model to which it says more than that nothing, or the negative prompt,
    was asked for: a condition -> the condition.
    against: what reads the negative prompt, or an empty one, of a model that reads it otherwise than what is asked for.
    enlarges: of a model that makes a picture larger, and must be given one.
    bound: x0 -> x0 within the range that its published sampler keeps it in, after guidance; None: it is left as it is.
    widened: (noise of steps, path, times of a walk) -> that noise, as wide as a network says that learned its variance.
    ends: of a model of video that is shown pictures, which of "first" and "last"; the first one must be given.
    opener: of a model of video, the model of pictures that draws the first frame of a new clip: a folder or a name.
    reader: job -> what reads its texts, of a model that reads them together with what it is shown; None: `text`.
    parts: latent grid -> numbers [1, 1, *grid] of the places whose guidance is rescaled apart; None: all together.
    aside: entries of a condition with which the network is something else that guidance leads away from, and how much.
    hears: latents -> the sound of each clip, of a model that makes both.
    opens: (job, noise) -> the noise that its walk begins from, of one that begins from more than that.
    share: the part of guidance that there is at each place: latent grid -> [1, 1, *grid]; None: all of it everywhere.
    schedule: (steps, latent grid) -> the times that the checkpoint was published with; the timing named "Published".
    boundary: the time below which another network acts, of a model of two: `Walk.guidance_2` is the scale there.
    refined: of a model that is two (`pipelines.cascade.ensemble`), how they are put together again.
    begin: called with the number of steps before each walk, of a model that keeps something over its steps.
    during: the context that each walk is in, of a model that keeps in it what is the same in all steps.
    whole: whether media are coded at once, whatever their size: for an autoencoder that looks at all of it.
    even: whether a sample's latents are the same, to the last bit, whatever is in its batch beside it.
    drawn: (torch.Generator, request) -> the noise that the published pipeline draws from it, of one that does not draw
    it as `core.rng.Drawn`.
    adapts: what it can be adapted with.
    largest: latents along each axis that its network has positions for, None where nothing bounds them; of a model
    whose network is another's, which may fail at a size in its own words. None: it sees what its `size` allows.
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
    knows: bool = False
    rate: float | None = None
    seconds: float | None = None
    sings: bool = False
    told: Callable[[Request, int], Cond] = nothing_told
    distilled: bool = False
    shown: Callable[[Any, Noise], Cond] | None = None
    contrast: Callable[[Cond], Cond] | None = None
    against: Conditioner | None = None
    enlarges: Enlarging | None = None
    bound: Callable[[Tensor], Tensor] | None = None
    widened: Callable[[Noise, Path, Tensor], Callable[[int, Tensor], Tensor]] | None = None
    ends: tuple[str, ...] = ()
    opener: Any = None
    reader: Callable[[Any], Conditioner] | None = None
    opens: Callable[[Any, Noise], Any] | None = None
    parts: Callable[[tuple[int, ...]], Tensor] | None = None
    aside: tuple[tuple[Mapping[str, Any], float], ...] = ()
    hears: Callable[[Tensor], Sequence[Any]] | None = None
    share: Callable[[tuple[int, ...]], Tensor] | None = None
    schedule: Callable[[int, tuple[int, ...]], Schedule] | None = None
    boundary: float | None = None
    refined: Refined | None = None
    whole: bool = False
    begin: Callable[[int], None] | None = None
    during: Callable[[], AbstractContextManager[Any]] = nullcontext
    even: bool = False
    drawn: Callable[[Any, Request], Any] | None = None
    adapts: Adapts = field(default_factory=Adapts)
    largest: tuple[int | None, ...] | None = None

    @property
    def spec(self) -> LatentSpec:
        return self.autoencoder.spec
