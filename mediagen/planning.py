"""What a model needs before it is loaded: parameters, memory in each dtype, what a step and decoding hold and compute,
and what is to be offloaded or tiled on this machine. Only headers and configurations are read; the networks are run on
the meta device, on tensors without numbers, so that these are counts and no rules of thumb."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .autoencoders.base import each_axis
from .core.edit import starts
from .counting import Count, count, counted, numberless
from .errors import first_line
from .families._loading import DTYPES
from .families._outline import Part
from .families._tiled import tiled, tiles
from .families.model import Model
from .generators.diffusion import Box
from .modalities import image as image_modality
from .pipelines.base import Pipeline
from .pipelines.opening import family_of, models, of

BITS = {"float32": 32, "bfloat16": 16, "int8": 8, "nf4": 4.5}  # of a weight, its scales included
KEPT = {"nf4": 4.5, "fp4": 4.5, "int8-bnb": 8}  # of weights that were published so, whatever is asked for
FEWER = ("int8", "nf4")  # of the denoiser alone, the rest in bfloat16
TILE = 32  # latents a side, of which tiles are counted
CODERS = ("vae", "autoencoder", "audio_encoder")  # names of the part that decodes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A model's needs for one job. Bytes; `step` and `decoding` are what is held beside weights, in `dtype`.

    parts: the denoiser's first. asked: the job in words. batch: rows of a step, two for each sample where guidance has
    a second branch. tiled: what decoding holds in tiles of TILE latents a side, None where it cannot be tiled.
    offloads: the ways in which its family lets parts lie elsewhere. A step of a model that writes codes is its last
    column, with all before it in mind.
    """

    name: str
    parts: Sequence[Part]
    denoiser: Sequence[str]
    asked: str
    dtype: str
    batch: int
    step: Count
    decoding: Count
    tiled: Count | None
    offloads: Sequence[str] = ()

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    def weights(self, dtype: str) -> int:
        """Bytes of all weights; of fewer bits the denoiser's alone, the rest in bfloat16, or as it was published."""
        return round(sum(part.parameters * self._bytes(part, dtype) for part in self.parts))

    def _bytes(self, part: Part, dtype: str) -> float:
        """Of a parameter of a part."""
        if part.stored is not None:
            return part.stored / part.parameters
        own = "bfloat16" if dtype in FEWER and part.name not in self.denoiser else dtype
        return KEPT.get(part.kept or "", BITS[own]) / 8

    def needs(self, tiled: bool = False) -> Mapping[str, int]:
        """Bytes on the device that each way of loading takes at most, in `dtype`: "whole" (all parts lie there) and the
        kinds of offload, from the quickest to the smallest."""
        decode = (self.tiled or self.decoding).peak if tiled else self.decoding.peak
        held = {part.name: self.step.peak if part.name in self.denoiser else 0 for part in self.parts}
        held |= {part.name: decode for part in self.parts if part.name in CODERS}
        needed = {"whole": self.weights(self.dtype) + max(held.values())}
        for way, there in (("model", "parameters"), ("group", "block"), ("sequential", "layer")):
            if way not in self.offloads:
                continue
            sizes = {part.name: round(getattr(part, there) * self._bytes(part, self.dtype)) for part in self.parts}
            needed[way] = max(size + held[name] for name, size in sizes.items())
        return needed

    def advice(self, memory: int) -> str:
        """The quickest way that fits into so many bytes, in words."""
        for way in self.needs():
            for small in (False, True) if self.tiled else (False,):
                if self.needs(small)[way] <= memory:
                    return _way(way, small)
        least = min(self.needs(tiled=True).values())
        return f"it does not fit: the least is {_bytes(least)}; ask for a smaller size or a shorter length"

    def lines(self, memory: Mapping[str, int]) -> Iterator[str]:
        """For people. memory: device -> bytes that are free."""
        yield f"{self.name}: {self.asked}, {self.dtype}"
        names = {part.name: part.name + (f" ({part.kept})" if part.kept else "") for part in self.parts}
        wide = max(map(len, names.values())) + 2
        yield f"{'part':{wide}}{'parameters':>12}" + "".join(f"{dtype:>10}" for dtype in BITS)
        for part in self.parts:
            yield f"{names[part.name]:{wide}}{_number(part.parameters):>12}" + _cells(self, [part])
        yield f"{'all':{wide}}{_number(self.parameters):>12}" + _cells(self, self.parts)
        step, decoding = self.step, self.decoding
        yield f"a step: {_number(step.flops)}FLOP of {self.batch} rows, holds {_bytes(step.peak)} beside weights"
        tiles = f", in tiles of {TILE} {_bytes(self.tiled.peak)}" if self.tiled else ""
        yield f"decoding: {_number(decoding.flops)}FLOP, holds {_bytes(decoding.peak)}{tiles}"
        ways = (f"{_bytes(n)} {way if way == 'whole' else f'with offload={way}'}" for way, n in self.needs().items())
        yield f"needs: {', '.join(ways)}"
        for device, free in memory.items():
            yield f"{device}: {_bytes(free)} free: {self.advice(free)}"


def plan(
    name_or_path: str | Path = "mini-image",
    *,
    size: Any = None,
    seconds: float | None = None,
    dtype: str = "bfloat16",
    revision: str | None = None,
) -> Plan:
    """What a job of this size and length would need. ValueError for what the model cannot make, or is no model."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")
    source = models().get(str(name_or_path), name_or_path)
    if revision is not None and Path(source).exists():
        raise ValueError(f"{name_or_path} is no repository, and has no revisions: leave out revision")
    family = family_of(source, revision)
    model, parts, denoiser = family.outline(source, revision)
    pipeline = of(model)
    given = {"size": size, "seconds": seconds}
    prompt, asked = exemplary(pipeline, {option: value for option, value in given.items() if value is not None})
    job = pipeline.job(prompt, **asked)
    _weightless(model, DTYPES[dtype])
    job, *more = pipeline.walks(job)
    try:
        batch, step, z = (_column if model.denoiser is None else _step)(pipeline, job)
        decoding = count(lambda: model.autoencoder.decode(z))
    except Exception as error:  # of whatever the networks run into
        line = first_line(error)
        raise ValueError(f"{name_or_path} cannot be counted at {_asked(job, model)}: {line}") from error
    return Plan(
        name=str(name_or_path),
        parts=sorted(parts, key=lambda part: part.name not in denoiser),
        denoiser=denoiser,
        asked=_asked(job, model) + _seen(pipeline, job, 1 + len(more)),
        dtype=dtype,
        batch=batch,
        step=step,
        decoding=decoding,
        tiled=_tiled(model, z),
        offloads=getattr(family, "OFFLOADS", ()),
    )


def _step(pipeline: Pipeline, job: Any) -> tuple[int, Count, Tensor]:
    """(rows, a step of a walk, latents of one sample). Windows are seen one after the other."""
    spec, (sides, windows) = pipeline.model.spec, _windows(pipeline, job)
    rows = _rows(pipeline, job, () if windows == 1 else tuple(slice(0, side) for side in sides))
    cond = {k: torch.cat([row[k] for row in rows]).to("meta") for k in rows[0]}
    x = torch.empty(len(rows), spec.channels, *sides, device="meta")
    step = count(lambda: pipeline.model.denoiser.output(x, 0.9, cond))
    step.flops *= windows
    return len(rows), step, torch.empty(1, spec.channels, *job.grid, device="meta")


def _windows(pipeline: Pipeline, job: Any) -> tuple[Sequence[int], int]:
    """(sides of what the network sees at once, how many of them a step has)."""
    window = pipeline._window(job.requests[0].walk.window) or job.grid
    sides = [min(pair) for pair in zip(job.grid, window, strict=True)]
    return sides, math.prod(len(starts(n, side, side // 2)) for n, side in zip(job.grid, sides, strict=True))


def _column(pipeline: Any, job: Any) -> tuple[int, Count, Tensor]:
    """(rows, the last column of codes, codes of one sample)."""
    model, [length] = pipeline.model, job.grid
    with numberless():
        cond, null = pipeline.said(job)
    speaker, before = model.begins(cond, null), min(length, model.window) + max(model.layout.delays)
    columns = torch.zeros(1, model.spec.channels, before, dtype=torch.long, device="meta")
    with counted() as found:
        speaker(columns)
        found.peak = found.flops = 0  # columns come one by one: what is held of these ones is what is kept of them
        speaker(columns[..., :1])
    return 1 if null is None else 2, found, columns[..., :1].expand(-1, -1, length)


def exemplary(pipeline: Pipeline, given: Mapping[str, Any], prompt: str = "a") -> tuple[str, dict[str, Any]]:
    """(prompt, what a job is asked for) of a model at this size and length: an empty prompt where it reads none, a grey
    picture where it must be shown one."""
    model = pipeline.model
    for option, lacks in (("size", "audio"), ("seconds", "image")):
        if option in given and model.modality == lacks:
            raise ValueError(f"{model.name} makes {lacks}, which has no {option}: leave it out")
    if model.enlarges is None:
        return _words(model, prompt), {**given, **{name: grey(16, 16) for name in model.ends}}
    side = given.get("size") or model.size[::-1]
    sides = (side, side) if isinstance(side, int) else side
    times = model.enlarges.factor
    if any(one % times for one in sides):
        raise ValueError(f"{model.name} makes a picture {times} times larger: size must be a multiple of {times}")
    return prompt, {"start": grey(*(one // times for one in sides))}


def grey(width: int, height: int) -> Any:
    """A picture of so many pixels."""
    return image_modality.Image.from_tensor(torch.zeros(3, height, width))


def _words(model: Model, prompt: str) -> str:
    """The prompt; an empty one for a model that reads none."""
    try:
        model.text.lengths([prompt])
    except ValueError:
        return ""
    return prompt


def _rows(pipeline: Pipeline, job: Any, box: Box) -> list[Mapping[str, Any]]:
    """The conditions of a step, as a window sees them: that of the prompt, and that of nothing where guidance has two
    branches."""
    with numberless():
        asked = pipeline.asked(job)
        guided = job.requests[0].walk.scales != (1, 1) and not pipeline.model.distilled
        rows = [asked.at(row, box) for row in (asked.prompts[0][0], *([asked.null] if guided else []))]
    return [{name: value for name, value in row.items() if isinstance(value, Tensor)} for row in rows]


def _weightless(model: Model, dtype: torch.dtype) -> None:
    """The denoiser and the autoencoder to the meta device, in one dtype."""
    coders = [getattr(model.autoencoder, name, None) for name in ("vae", "vocoder")]
    for module in (model.denoiser, model.autoencoder, *coders, getattr(model, "network", None)):
        if isinstance(module, nn.Module):
            module._apply(partial(_emptied, dtype))


def _emptied(dtype: torch.dtype, numbers: Tensor) -> Tensor:
    """Whole numbers alone, by which layers tell how much they pad, stay."""
    if numbers.is_floating_point():
        return numbers.to("meta", dtype)
    return numbers.to("meta") if numbers.ndim else numbers


def memory() -> Mapping[str, int]:
    """Bytes that are free on each device of this machine."""
    found = {f"cuda:{n}": torch.cuda.mem_get_info(n)[0] for n in range(torch.cuda.device_count())}
    return found | {"cpu": _free()}


def _free() -> int:
    listed = Path("/proc/meminfo")
    if listed.is_file():
        facts = dict(line.split(":", 1) for line in listed.read_text().splitlines())
        return int(facts["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _tiled(model: Model, z: Tensor) -> Count | None:
    """Decoding in tiles; None where a grid is no larger than one, or media are coded whole."""
    coder = getattr(model.autoencoder, "vae", None)
    if max(z.shape[2:][-2:]) <= TILE or (model.whole and not tiles(coder)):
        return None
    around = each_axis(model.autoencoder.reach, model.spec.dims)
    if model.whole:
        tiled(coder, TILE, around[-1])
        return count(lambda: model.autoencoder.decode(z))
    sides = [min(n, TILE + 2 * more) for n, more in zip(z.shape[2:], around, strict=True)]
    return count(lambda: model.autoencoder.decode(z[..., *(slice(side) for side in sides)]))


def _asked(job: Any, model: Model) -> str:
    first = job.requests[0]
    sides = "x".join(map(str, first.size)) if getattr(first, "size", ()) else ""
    length = f"{first.seconds:g} s" if model.modality != "image" else ""
    return ", ".join(filter(None, (sides, length, f"latents {model.spec.channels}x{'x'.join(map(str, job.grid))}")))


def _seen(pipeline: Pipeline, job: Any, walks: int) -> str:
    if walks > 1:
        return f", made in {walks} windows that go on from one another"
    if pipeline.model.denoiser is None:  # what writes codes sees all before it
        return ""
    sides, windows = _windows(pipeline, job)
    return f", seen in {windows} windows of {'x'.join(map(str, sides))}" if windows > 1 else ""


def _way(way: str, tiled: bool) -> str:
    said = "it fits as it is" if way == "whole" else f"offload={way!r}"
    return said + (f", decoded in tiles (tile={TILE})" if tiled else "")


def _cells(plan: Plan, parts: Sequence[Part]) -> str:
    some = Plan(**(vars(plan) | {"parts": parts}))
    return "".join(f"{_bytes(some.weights(dtype)):>10}" for dtype in BITS)


def _bytes(n: float) -> str:
    return f"{n / 1e9:.2f} GB" if n >= 1e8 else f"{n / 1e6:.2f} MB"


def _number(n: float) -> str:
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= unit:
            return f"{n / unit:.2f} {name}"
    return f"{n:g} "
