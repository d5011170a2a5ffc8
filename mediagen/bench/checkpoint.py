"""A published checkpoint by our loop and by diffusers' own pipeline, on the same weights in one run.

What a loop costs beside the networks is measured with networks that answer at once what they answered before, so that
it does not drown in their time; a whole call is measured with the networks themselves, the sides taking turns.
"""

from __future__ import annotations

import gc
import inspect
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ..core import solve
from ..errors import first_line
from .loop import TARGETS, Cost, machine, row

PROMPT = "a red cat"
DENOISERS = ("unet", "transformer", "transformer_2")
ASKED = ("encode", "get_text_features")  # what a network is called by where it has it, if not as it is
PARTS = ("step", "call", "whole")  # of a cost
BEGUN = ("ImageToVideo", "Img2Img")  # in the names of diffusers' pipelines that cannot do without a picture
SLOWEST = 0.2  # the share of steps in which something else had the processor, which are left out


Sided = Callable[[int], Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A checkpoint's two sides: steps -> latents, and those of the sound of a clip that is made with it, from noise
    drawn alike; their networks, shared. anew: ours with nothing kept over its steps (`families._constant`)."""

    name: str
    size: str
    mine: Sided
    theirs: Sided
    anew: Sided
    networks: Mapping[str, nn.Module]


@dataclass(kw_only=True, eq=False)
class Echo:
    """A network that is asked once for inputs of a shape, and gives the same again afterwards."""

    forward: Callable[..., Any]
    given: dict[Any, Any] = field(default_factory=dict)

    def __call__(self, *args: Any, **options: Any) -> Any:
        key = tuple(tuple(one.shape) for one in (*args, *options.values()) if isinstance(one, Tensor))
        if key not in self.given:
            self.given[key] = self.forward(*args, **options)
        return self.given[key]


def pair(source: str | Path, *, size: Any = None, seconds: float | None = None, **options: Any) -> Pair:
    """Both sides of a published checkpoint (a folder, a repository or a .safetensors file), loaded once; where one of
    them must be shown a picture, both are shown the same grey one. options: of `mediagen.load`. ValueError for what is
    no such checkpoint, or what diffusers' pipeline does not make of it."""
    from mediagen.families import _loading, published
    from mediagen.pipelines.opening import of
    from mediagen.planning import example

    if not published.claims(source):
        raise ValueError(f"{source} is no checkpoint in diffusers' layout: there is no {published.INDEX} in it")
    model, other = published.opened(source, _loading.read(options))
    pipe = of(model)
    networks = {name: part for name, part in other.components.items() if isinstance(part, nn.Module)}
    given = {name: value for name, value in (("size", size), ("seconds", seconds)) if value is not None}
    begun = _begun(other, model, given)
    given |= begun
    first = example(pipe, given, PROMPT, steps=4)
    parted = getattr(model.spec, "parted", lambda z: (z,))

    @torch.no_grad()
    def mine(steps: int, pipe: Any = pipe) -> Sequence[Tensor]:
        noise: Any = torch.Generator().manual_seed(0)
        if "start" in given:  # a generator starts new media alone
            noise = torch.randn(1, model.spec.channels, *first.grid, generator=noise)
        job = example(pipe, given, PROMPT, steps=steps, noise=noise)
        return parted(solve.last(pipe.walk(job, pipe.asked(job), pipe.start(job))).x)  # only the last state is kept

    shown = f"{source}, {'x'.join(map(str, first.grid))} latents"
    sides = {"mine": mine, "theirs": _theirs(other, _told(other, first, pipe), by_mean=bool(begun))}
    sides["anew"] = partial(mine, pipe=of(replace(model, during=nullcontext)))
    return Pair(name=type(other).__name__, size=shown, networks=networks, **sides)


def _begun(other: Any, model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What ours is told where diffusers' pipeline cannot do without a picture and the model can: to begin from one.
    Guidance is not rescaled then: theirs counts what it throws away where the picture is."""
    from mediagen.planning import grey

    if model.ends or not any(kind in type(other).__name__ for kind in BEGUN):
        return {}
    if model.modality == "video":
        return {"first": grey(16, 16), "rescale": 0.0}
    return {"start": grey(16, 16), "strength": 1.0, "size": given.get("size", model.size[::-1])}


def _theirs(other: Any, told: Mapping[str, Any], by_mean: bool) -> Sided:
    """diffusers' side, with latents handed out as the network has them. MusicLDM's, which is no longer kept up, takes
    CLAP's features as transformers 4 gave them. by_mean: a picture is coded by the mean of its latents, as ours is."""
    other.set_progress_bar_config(disable=True)
    for name in ("_denormalize_latents", "_denormalize_audio_latents"):
        if hasattr(other, name):
            setattr(other, name, lambda z, *_: z)
    if type(other).__name__ == "MusicLDMPipeline":
        features = other.text_encoder.get_text_features
        other.text_encoder.get_text_features = lambda *args, **options: features(*args, **options).pooler_output
    room = sys.modules[type(other).__module__]
    coding = patch.object(room, "retrieve_latents", _mean) if by_mean else nullcontext()

    def theirs(steps: int) -> Sequence[Tensor]:
        drawn = torch.Generator().manual_seed(0)
        try:
            with warnings.catch_warnings(action="ignore"), coding:
                made = other(num_inference_steps=steps, generator=drawn, **told, return_dict=False)
        except Exception as error:  # of whatever it lacks or refuses
            line = first_line(error)
            raise ValueError(f"diffusers' {type(other).__name__} does not make what ours does: {line}") from error
        return [one for one in made[:] if isinstance(one, Tensor)]

    return theirs


def _mean(coded: Any, *_: Any, **__: Any) -> Tensor:
    """Of the latents that an encoder tells of; their pipelines draw some."""
    return coded.latent_dist.mode()


def _told(other: Any, job: Any, pipe: Any) -> Mapping[str, Any]:
    """What diffusers' pipeline is told of the words, size and length of a job, and shown."""
    known, first = inspect.signature(type(other).__call__).parameters, job.requests[0]
    said = {"prompt": first.prompts[0][0], "output_type": "latent" if "vae" in other.components else "pt"}
    said |= _shown(job, known)
    if getattr(first, "size", None):
        said |= {"width": first.size[0], "height": first.size[1]}
    if "num_frames" in known:
        said["num_frames"] = pipe.model.spec.size(job.grid)[0]
    for name in ("audio_end_in_s", "audio_length_in_s", "audio_duration", "duration"):
        said |= {name: first.seconds} if name in known else {}
    said |= {"use_resolution_binning": False}  # the size is what was asked for
    said |= {"image_crf": 0}  # a picture is shown as it is
    if not first.walk.rescale:
        said |= {name: 0.0 for name in known if name.endswith("guidance_rescale")}
    return {name: value for name, value in said.items() if name in known}


def _shown(job: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """The pictures of a job, as diffusers' pipelines call them; where all is made anew, one that is masked."""
    from PIL import Image

    from mediagen.modalities.image import Image as Picture

    if job.context is not None:
        return {"image": Picture.from_tensor(job.context[0]).pil()}
    if job.known is not None and job.known.ndim == 4:
        return {"image": Picture.from_tensor(job.known[0]).pil(), "strength": 1.0}
    if job.known is not None:
        ends = [Picture.from_tensor(job.known[0, :, place]).pil() for place in (0, -1)]
        return {"image": ends[0]} | ({"last_image": ends[1]} if job.requests[0].last is not None else {})
    if "mask_image" in known:
        size = job.requests[0].size
        masked = {"image": Image.new("RGB", size, "grey"), "mask_image": Image.new("L", size, "white")}
        return masked | {"strength": 1.0}  # that of SDXL's own is a little less
    return {}


def apart(pair: Pair, steps: int = 4) -> float:
    """The relative distance of the two sides' latents, however they are packed: of their values, sorted. Where theirs
    leaves the first one of a clip out, which is the picture that it was shown, that of the others."""
    mine, other = pair.mine(steps), pair.theirs(steps)
    if len(other) == 1 and mine[0][:, :, 1:].shape == other[0].shape:
        mine = [mine[0][:, :, 1:]]
    one, two = (torch.cat([part.float().flatten().sort().values for part in side]) for side in (mine, other))
    return float((one - two).norm() / two.norm()) if one.shape == two.shape else float("inf")


def overhead(pair: Pair, steps: int = 25, repeats: int = 5) -> tuple[Cost, Cost]:
    """(ours, diffusers'): what a step and a call cost beside the networks, which only echo: the least of `repeats`
    walks of each side, which take turns."""
    found: tuple[list[Cost], ...] = ([], [])
    with echoing(pair.networks) as clock:
        for turn in range(repeats + 1):
            for side, call in enumerate((pair.mine, pair.theirs)):
                one = spent(call, steps, clock)
                if turn:  # the first turn warms up
                    found[side].append(one)
    mine, other = (Cost(**{part: min(getattr(one, part) for one in side) for part in PARTS}) for side in found)
    return mine, other


def spent(call: Callable[[int], Any], steps: int, clock: Echoes) -> Cost:
    """What one walk costs beside networks that echo. Collecting garbage waits, as it may happen to either side."""
    clock.reset()
    gc.disable()
    try:
        begin = time.perf_counter()
        call(steps)
        end = time.perf_counter()
    finally:
        gc.enable()
    own = sorted(clock.between(max(round(len(clock.calls) / steps), 1)))
    usual = own[: math.ceil(len(own) * (1 - SLOWEST))]
    step = sum(usual) / len(usual)
    return Cost(step=step, call=end - begin - clock.seconds - sum(own) - step, whole=end - begin)


def whole(pair: Pair, steps: int, repeats: int = 3) -> tuple[float, float, float]:
    """(ours, diffusers', ours with nothing kept): median seconds of a whole call with its networks, prompt to
    latents."""
    found: tuple[list[float], ...] = ([], [], [])
    for turn in range(repeats + 1):
        for side, call in enumerate((pair.mine, pair.theirs, pair.anew)):
            begin = time.perf_counter()
            call(steps)
            if turn:
                found[side].append(time.perf_counter() - begin)
    return median(found[0]), median(found[1]), median(found[2])


@dataclass(kw_only=True, eq=False)
class Echoes:
    """Networks' seconds in all, and from when to when the denoising ones were in each of their calls."""

    seconds: float = 0.0
    calls: list[tuple[float, float]] = field(default_factory=list)

    def reset(self) -> None:
        self.seconds, self.calls = 0.0, []

    def of(self, network: nn.Module, name: str, denoises: bool) -> Callable[..., Any]:
        """A function of a network in its place: what it said."""
        echo = Echo(forward=getattr(network, name))

        def timed(*args: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            given = echo(*args, **options)
            end = time.perf_counter()
            self.seconds += end - begin
            if denoises:
                self.calls.append((begin, end))
            return given

        return timed

    def between(self, each: int) -> list[float]:
        """Seconds beside the denoising networks from the first call of a step, of `each`, to that of the next one."""
        apart = [then[0] - now[1] for now, then in pairwise(self.calls)]
        return [sum(apart[first : first + each]) for first in range(0, len(apart) - each + 1, each)]


@contextmanager
def echoing(networks: Mapping[str, nn.Module]) -> Iterator[Echoes]:
    """Networks that echo meanwhile, of an autoencoder its encoder, of CLAP what reads; a clock of what that takes."""
    clock = Echoes()
    with ExitStack() as after:
        for part, network in networks.items():
            name = next((one for one in ASKED if hasattr(network, one)), "forward")
            after.enter_context(patch.object(network, name, clock.of(network, name, part in DENOISERS)))
        yield clock


def table(
    source: str, *, size: Any = None, seconds: float | None = None, steps: int = 10, repeats: int = 5, **options: Any
) -> str:
    """The markdown table of a checkpoint."""
    both = pair(source, size=size, seconds=seconds, **options)
    far = apart(both)
    mine, other = overhead(both, repeats=repeats)
    here, there, anew = whole(both, steps, repeats=max(repeats // 2, 1))
    lines = [row(["", "mediagen", "diffusers", "ratio"]), row(["---"] * 4)]
    measures = (("µs a step beside the network", 1e6, mine.step, other.step, 0),)
    measures += (("ms a call beside the networks", 1e3, mine.call, other.call, 2),)
    measures += ((f"s for {steps} steps, prompt to latents", 1.0, here, there, 3),)
    measures += (("the same, keys and values of the text made in each step", 1.0, anew, there, 3),)
    for what, unit, one, two, digits in measures:
        lines.append(row([what, f"{one * unit:.{digits}f}", f"{two * unit:.{digits}f}", f"{two / one:.2f}"]))
    equal = f"Latents differ by {far:.0e}." if math.isfinite(far) else "Theirs hands out another number of latents."
    about = f"{both.name}, {both.size}. {equal} {TARGETS} {machine()}"
    return "\n".join([*lines, "", about])
