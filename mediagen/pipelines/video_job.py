"""A job of video: what it makes, what of that is known, and the picture that it begins with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .base import Job
from .video_canvas import Canvas
from .video_inputs import Audio, Inputs

if TYPE_CHECKING:
    from .video import VideoPipeline


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoJob(Job):
    """frames: how many a result has; rate: frames a second of it; canvas: what an edit keeps; stray: frames
    [1, 1, M, 1, 1] that stay though their latents do not; sound: what is heard with it, unless it is muted; opened:
    whether the model's opener draws its first frame, opening [B, 3, 1, H, W] once it is there; continued: whether it is
    made window after window (`video_continued`)."""

    frames: int
    rate: float
    canvas: Canvas | None = None
    stray: Tensor | None = None
    sound: Audio | None = None
    muted: bool = False
    opened: bool = False
    opening: Tensor | None = None
    continued: bool = False


def begun(pipeline: "VideoPipeline", job: VideoJob, given: Inputs) -> VideoJob:
    """The job with the picture that a loop is of, or with whether the model's opener is to draw what it begins with."""
    request, count, model = job.requests[0], len(job.requests), pipeline.model
    if request.task == "loop" and given.pictures is not None:
        return replace(job, opening=given.pictures.expand(count, -1, -1, -1, -1))
    tasks = ("generate",) if model.token is None else ("generate", "loop")
    able = model.opener is not None and request.noise is None and job.frames > 1
    return replace(job, opened=able and request.task in tasks)


def covered(pipeline: "VideoPipeline", job: VideoJob, cover: Canvas | None) -> VideoJob:
    """The job with what is known of it and what of that stays."""
    if cover is None:
        return job
    stray = cover.stray(pipeline.model.spec)
    return replace(job, known=cover.known, keep=cover.stays, canvas=cover, stray=stray)


def task_of(given: Inputs, edits: Mapping[str, Any], looped: bool) -> str:
    """What a request calls it."""
    if given.source is None:
        return "loop" if looped else "animate" if given.pictures is not None else "generate"
    if "factor" in edits:
        return "interpolate"
    changed = "inpaint" if "mask" in edits or "between" in edits else "vary"
    return "extend" if "left" in edits or "right" in edits else changed
