"""A published checkpoint by our loop and by diffusers' own pipeline, on the same weights in one run.

What a loop costs beside the networks is measured while they echo (`beside`); a whole call is measured with the networks
themselves, the sides taking turns.
"""

from __future__ import annotations

import inspect
import math
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ..core import solve
from ..errors import first_line
from .beside import TARGETS, Call, Pair, apart, overhead
from .document import row
from .fresh import machine

PROMPT = "a red cat"
BEGUN = ("ImageToVideo", "Img2Img")  # in the names of diffusers' pipelines that cannot do without a picture


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint(Pair):
    """A checkpoint's two sides. anew: ours with nothing kept over its steps (`families._constant`)."""

    name: str
    size: str
    anew: Call


def pair(source: str | Path, *, size: Any = None, seconds: float | None = None, **options: Any) -> Checkpoint:
    """Both sides of a published checkpoint (a folder, a repository or a .safetensors file), loaded once; where one of
    them must be shown a picture, both are shown the same grey one. options: of `mediagen.load`. ValueError for what is
    no such checkpoint, or what diffusers' pipeline does not make of it."""
    from mediagen.families import _loading, published
    from mediagen.pipelines.opening import of
    from mediagen.planning import exemplary

    if not published.claims(source):
        raise ValueError(f"{source} is no checkpoint in diffusers' layout: there is no {published.INDEX} in it")
    model, other = published.opened(source, _loading.read(options))
    pipe = of(model)
    networks = {name: part for name, part in other.components.items() if isinstance(part, nn.Module)}
    given = {name: value for name, value in (("size", size), ("seconds", seconds)) if value is not None}
    begun = _begun(other, model, given)
    given |= begun
    prompt, asked = exemplary(pipe, given, PROMPT)
    first = pipe.job(prompt, **asked, steps=4)
    parted = getattr(model.spec, "parted", lambda z: (z,))

    @torch.no_grad()
    def mine(steps: int, pipe: Any = pipe) -> Sequence[Tensor]:
        noise: Any = torch.Generator().manual_seed(0)
        if "start" in given:  # a generator starts new media alone
            noise = torch.randn(1, model.spec.channels, *first.grid, generator=noise)
        job = pipe.job(prompt, **asked, steps=steps, noise=noise)
        return parted(solve.last(pipe.walk(job, pipe.asked(job), pipe.start(job))).x)  # only the last state is kept

    shown = f"{source}, {'x'.join(map(str, first.grid))} latents"
    sides = {"mine": mine, "theirs": _theirs(other, _told(other, first, pipe), by_mean=bool(begun))}
    sides["anew"] = partial(mine, pipe=of(replace(model, during=nullcontext)))
    return Checkpoint(name=type(other).__name__, size=shown, networks=networks, **sides)


def _begun(other: Any, model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What ours is told where diffusers' pipeline cannot do without a picture and the model can: to begin from one.
    Guidance is not rescaled then: theirs counts what it throws away where the picture is."""
    from mediagen.planning import grey

    if model.ends or not any(kind in type(other).__name__ for kind in BEGUN):
        return {}
    if model.modality == "video":
        return {"first": grey(16, 16), "rescale": 0.0}
    return {"start": grey(16, 16), "strength": 1.0, "size": given.get("size", model.size[::-1])}


def _theirs(other: Any, told: Mapping[str, Any], by_mean: bool) -> Call:
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


def whole(pair: Checkpoint, steps: int, repeats: int = 3) -> tuple[float, float, float]:
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


def table(
    source: str, *, size: Any = None, seconds: float | None = None, steps: int = 10, repeats: int = 5, **options: Any
) -> str:
    """The markdown table of a checkpoint."""
    from mediagen.families._quiet import quiet

    with quiet():
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
        lines.append(row([what, f"{one * unit:.{digits}f}", f"{two * unit:.{digits}f}", f"{one / two:.2f}"]))
    equal = f"Latents differ by {far:.0e}." if math.isfinite(far) else "Theirs hands out another number of latents."
    about = f"{both.name}, {both.size}. {equal} {TARGETS} {machine('diffusers')}"
    return "\n".join([*lines, "", about])
