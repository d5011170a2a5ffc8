"""Clips longer than their model sees, window after window: each goes on from the last frames of the one before.

So does what a model makes that is shown what is known without noise (a card's `known: true`). All frames of a window
are bound to frames that were seen; of windows that are made side by side only the first would see the picture.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..autoencoders.base import LatentSpec
from .base import Event, keyed
from .rollout import spans
from .timed import Timeline
from .video_canvas import Canvas, Span, covering, placed

if TYPE_CHECKING:
    from .video import VideoPipeline
    from .video_job import VideoJob

SHARE = 3  # one latent in so many of a window, two at least, is the end of the window before


def overlap(spec: LatentSpec, size: int, sides: tuple[int, ...]) -> int:
    """How many frames a window of `size` frames shares with the one before; sides: (width, height). ValueError for one
    that has no room for new ones beside them."""
    latents = spec.grid((size, *sides[::-1]))[0]
    if latents < 2:
        least = f"must be {spec.covered(0, 2)} or more, since each begins with the end of the one before"
        raise ValueError(f"the window is {size} frames; those of a clip that goes on {least}")
    return spec.covered(0, min(max(latents // SHARE, 2), latents - 1))


def cut(pipeline: "VideoPipeline", job: "VideoJob") -> "VideoJob":
    """The job as one that goes on from window to window, if it is a new clip that is longer than one and the model can;
    else as it is."""
    request, model = job.requests[0], pipeline.model
    window, new = request.walk.window, request.task in ("generate", "animate") and request.last is None
    able = model.token is not None and model.hears is None and not request.control and job.noise is None
    if not new or not able or len(window) != 1 or job.frames <= window[0]:
        return job
    overlap(model.spec, window[0], request.size)  # checked now
    begin = None if job.canvas is None else job.canvas.frames[None, :, :1].expand(len(job.requests), -1, -1, -1, -1)
    grid = model.spec.grid((window[0], *request.size[::-1]))
    return replace(job, grid=grid, known=None, keep=None, canvas=None, stray=None, opening=begin, continued=True)


@torch.no_grad()
def continued(pipeline: "VideoPipeline", job: "VideoJob") -> Generator[Event, None, Tensor]:
    """All frames of a job [B, 3, M, H, W], as many as latents stand for exactly, and the events of its walks."""
    plan, whole = windows(pipeline.model.spec, job), job.opening
    for number, (begin, length) in enumerate(plan):
        known = None if whole is None else whole[:, :, begin:]
        new = begin if known is None else begin + known.shape[2]
        one = window(pipeline, _asked(job, number, begin, new, begin + length), known, length)
        for state in pipeline.walk(one, pipeline.asked(one), pipeline.start(one)):
            step, steps = number * state.total + state.step, len(plan) * state.total
            yield Event(stage="step", step=step, total=steps, preview=pipeline._preview(state.x0, one))
        made = joined(pipeline.decode(state.x), known)
        whole = made if whole is None else torch.cat([whole[:, :, :begin], made], 2)
    return whole


def windows(spec: LatentSpec, job: "VideoJob") -> list[Span]:
    """(begin, length) of each window of a job, in frames."""
    request = job.requests[0]
    size, total = request.walk.window[0], covering(spec, job.frames)
    return [*spans(size=size, overlap=overlap(spec, size, request.size), total=total)]


def window(pipeline: "VideoPipeline", job: "VideoJob", known: Tensor | None, length: int) -> "VideoJob":
    """The job of a window of `length` frames, the first of which are `known` [B, 3, k, H, W]."""
    grid = pipeline.model.spec.grid((length, *job.requests[0].size[::-1]))
    canvases = _canvases(known, length)
    return replace(
        job,
        grid=grid,
        frames=length,
        known=torch.cat([canvas.known for canvas in canvases]) if canvases else None,
        keep=canvases[0].stays if canvases else None,
        opening=None,
        continued=False,
    )


def joined(media: Tensor, known: Tensor | None) -> Tensor:
    """What was made of a window [B, 3, M, H, W], with what is known of it in its place (`Canvas.joined`)."""
    canvases = _canvases(known, media.shape[2])
    return torch.stack([c.joined(m) for c, m in zip(canvases, media, strict=True)]) if canvases else media


def _canvases(known: Tensor | None, length: int) -> list[Canvas]:
    placing = [] if known is None else [placed(one, range(known.shape[2]), length) for one in known]
    return [Canvas(frames=frames, keep=keep, shown=(0, length)) for frames, keep in placing]


def _asked(job: "VideoJob", number: int, begin: int, new: int, end: int) -> "VideoJob":
    """What is asked of window `number`, which lies from frame `begin` to `end` and is made from `new` on: of a timeline
    what holds there, in seconds of the window. The first one has the noise of a clip that is no longer than it."""
    noise = keyed(job).of(f"window {number}") if number else None
    timeline = during(job.requests[0].timeline, *(frame / job.rate for frame in (begin, new, end)))
    if not timeline:
        return replace(job, noise=noise)
    said = {"prompts": ((timeline[0][1], 1.0),), "timeline": timeline}
    return replace(job, noise=noise, requests=tuple(replace(request, **said) for request in job.requests))


def during(timeline: Sequence[tuple[float, str]], begin: float, new: float, end: float) -> Timeline:
    """The prompts that hold between the seconds `new` and `end`, in seconds since `begin`, the first of them from 0."""
    held = [
        (second - begin, text)
        for (second, text), (after, _) in pairwise([*timeline, (inf, "")])
        if second < end and after > new
    ]
    return tuple((0.0 if n == 0 else second, text) for n, (second, text) in enumerate(held))
