"""Models one after the other: two that share one walk from noise to data, and stages that hand on their pictures.

>>> pipeline = ensemble(mediagen.load("stabilityai/stable-diffusion-xl-base-1.0"), mediagen.load(refiner))
>>> Cascade.load(["DeepFloyd/IF-I-XL-v1.0", "DeepFloyd/IF-II-L-v1.0", upscaler]).generate("a kite", seed=7)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..conditioners.base import Cond
from ..core.denoiser import Denoiser, Hint
from ..core.times import latest
from ..families.model import Model
from ..request import Refined
from .base import Pipeline
from .checks import check_size
from .opening import load, of
from .prompts import Prompt, prompts_of

EDGE = 1e-6  # a time of a table is on its own side of the boundary, whatever its rounding


def ensemble(base: Pipeline, refiner: Pipeline, *, share: float = 0.8) -> Pipeline:
    """Two models of one latent space as one: the base walks the first `share` of the noise's course, the refiner the
    rest (eDiff-I, arXiv 2211.01324). Every solver, guidance and edit sees one model, with the base's own schedule;
    `guidance_2` is the scale of the refiner. Control networks and image prompts lead the base, whose they are.

    ValueError for a share outside 0 .. 1, or models whose path, prediction or latents differ.
    """
    one, two = base.model, refiner.model
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, not {share}")
    if (one.modality, one.spec) != (two.modality, two.spec):
        raise ValueError(f"{one.name} makes {_latents(one)}, {two.name} {_latents(two)}: they share no walk")
    if _scale(one) != _scale(two):
        raise ValueError(f"the latents of {one.name} are of another scale than those of {two.name}: they share no walk")
    if one.denoiser.path != two.denoiser.path or one.denoiser.row != two.denoiser.row:
        raise ValueError(f"{one.name} and {two.name} differ in their path or prediction: they share no walk")
    if one.shown or two.shown or one.scalars or two.scalars or one.distilled != two.distilled:
        raise ValueError(f"{one.name} and {two.name} are shown or told other things: they share no walk")
    both = (one, two)
    relay = Relay(one.denoiser, two.denoiser, boundary=1 - share)
    made = replace(
        one,
        name=f"{one.name} + {two.name}",
        hash="-".join((sha256(f"{one.hash} {two.hash} {share}".encode()).hexdigest()[:16], *one.hash.split("-")[1:])),
        refined=Refined(base=one.name, refiner=two.name, share=share),
        boundary=None if one.distilled else relay.boundary + EDGE,
        multiple=max(model.multiple for model in both),
        text=Texts(texts=(one.text, two.text)),
        denoiser=Relayed(relay, one.denoiser.path, one.denoiser.row),
        told=lambda request, n: _joined([model.told(request, n) for model in both]),
        contrast=lambda cond: _joined([_contrasted(model, own) for model, own in zip(both, _apart(cond), strict=True)]),
        adapts=replace(one.adapts, learn=_learned(one, two)),
    )
    return of(made)


class Relay(nn.Module):
    """`net(x, t, cond) -> y` of two denoisers: the first one above `boundary`, the second one from there down."""

    def __init__(self, first: Denoiser, second: Denoiser, *, boundary: float) -> None:
        super().__init__()
        self.first, self.second, self.boundary = first, second, boundary

    def forward(self, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        early = float(latest(t).max() if t.ndim == 1 else latest(t)) >= self.boundary + EDGE
        own = _apart(cond)[0 if early else 1]
        return (self.first if early else self.second).output(x, t, own)


class Relayed(Denoiser):
    """The denoiser of a `Relay`. What a control network adds is told to the first of the two, in its own terms."""

    def hinted(self, hint: Hint) -> Denoiser:
        relay: Any = self.net
        led = Relay(relay.first.hinted(hint), relay.second, boundary=relay.boundary)
        return Relayed(led, self.path, self.row)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The conditioners of two models as one."""

    texts: Sequence[Any]

    def __call__(self, prompts: Sequence[str]) -> Cond:
        return _joined([text(prompts) for text in self.texts])

    def null(self, n: int) -> Cond:
        return _joined([text.null(n) for text in self.texts])

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """Tokens of each prompt by the first one; ValueError for a prompt that is too long for either."""
        return [text.lengths(prompts) for text in self.texts][0]  # noqa: RUF015 (all of them are asked)


def _joined(conds: Sequence[Cond]) -> Cond:
    """Each one's entries under its number."""
    return {f"{number}.{name}": value for number, cond in enumerate(conds) for name, value in cond.items()}


def _apart(cond: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each of two is told; an entry without a number is for both."""
    own: list[dict[str, Any]] = [{}, {}]
    for name, value in cond.items():
        number, _, rest = name.partition(".")
        for at in [int(number)] if rest else [0, 1]:
            own[at][rest or name] = value
    return own


def _learned(one: Model, two: Model) -> Callable[[str], Any] | None:
    """A word is learned by the text encoders of both, which read the same prompt; None where one learns none."""
    first, second = one.adapts.learn, two.adapts.learn
    if first is None or second is None:
        return None

    def learn(path: str) -> Any:
        second(path)
        return first(path)

    return learn


def _latents(model: Model) -> str:
    """What it makes, in words."""
    spec = model.spec
    return f"{model.modality} latents of {spec.channels} channels with a stride of {'x'.join(map(str, spec.stride))}"


def _scale(model: Model) -> list[list[float]]:
    """Means and deviations that latents are whitened by, of a published autoencoder; one of our own keeps them."""
    found = (getattr(model.autoencoder, name, None) for name in ("mean", "std"))
    return [value.flatten().tolist() for value in found if isinstance(value, Tensor)]


def _contrasted(model: Model, cond: Cond) -> Cond:
    return model.contrast(cond) if model.contrast else cond


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """Pipelines of pictures that hand on what they made: the first one makes it from the prompt, each further one makes
    it larger (`upscale`) or, where it is no model for that, anew from its slightly noised self (`vary`)."""

    stages: tuple[Pipeline, ...]

    @classmethod
    def load(cls, models: Sequence[str | Path]) -> Cascade:
        """Models by name, folder or repository, in their order. ValueError for none, or one that makes no pictures."""
        stages = tuple(load(model) for model in models)
        if not stages or any(stage.model.modality != "image" for stage in stages):
            raise ValueError(f"a cascade is of one model of pictures or more, not {list(map(str, models))}")
        return cls(stages=stages)

    def generate(
        self, prompt: Prompt, *, size: Any = None, each: Sequence[Mapping[str, Any]] = (), **options: Any
    ) -> Any:
        """The picture of the last stage. size: its pixels of a side, or (width, height); the stages before it make what
        becomes so large. options: of all stages (seed, negative); each: of a stage of its own (steps, guidance,
        strength, or in the place of `size` that of the first), in their order. ValueError for more of them than stages,
        more than one picture, or a size that some stage does not make."""
        if len(prompts_of(prompt)) > 1 or options.get("n", 1) != 1:
            raise ValueError("a cascade makes one picture at a time: one prompt, and n=1")
        if len(each) > len(self.stages):
            raise ValueError(f"there are {len(self.stages)} stages, options were given for {len(each)}")
        own = [dict(options) | dict(given) for given in (*each, *[{}] * (len(self.stages) - len(each)))]
        if size is not None:
            if "size" in own[0]:
                raise ValueError(f"size is {size!r} and the first stage's {own[0]['size']!r}: say one of them")
            own[0]["size"] = self._begun(size)
        picture: Any = None
        for stage, given in zip(self.stages, own, strict=True):
            picture = _made(stage, picture, prompt, given)
        return picture

    def _begun(self, size: Any) -> tuple[int, int]:
        """The size of the first stage, (width, height), of that of the last one."""
        factors = [stage.model.enlarges.factor if stage.model.enlarges else 1 for stage in self.stages]
        after = [math.prod(factors[number + 1 :]) for number in range(len(factors))]
        each = [stage.model.multiple * more for stage, more in zip(self.stages, after, strict=True)]
        width, height = check_size(size, math.lcm(*each))
        return width // after[0], height // after[0]


def _made(stage: Any, picture: Any, prompt: Prompt, options: dict[str, Any]) -> Any:
    if picture is None:
        return stage.generate(prompt, **options)
    return (stage.vary if stage.model.enlarges is None else stage.upscale)(picture, prompt, **options)
