"""Video by continuation: clip after clip, each inpainted onto the end of the one before, at constant memory."""

import math
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from ..metrics.drift import Drift, Look, drift, look
from ..request import Request
from . import video_continued
from .live import Live
from .prompts import prompts_of
from .rollout import Window, rollout
from .timed import check_seconds, split_timeline
from .video import VideoPipeline
from .video_canvas import covering
from .video_continued import overlap
from .video_inputs import Inputs, Video
from .video_job import VideoJob


class VideoStream(Live[Video]):
    """A stream of video; see `live.Live`. drift: a point for each clip, how far it is from the first one.

    A window goes on from frames, not from latents: the last ones of the window before are encoded anew, so that the
    first latent is, as the model learned it, that of one frame. What was given out never changes."""

    _pipeline: VideoPipeline

    def __init__(self, pipeline: VideoPipeline, request: Request, prompt: Any, given: Inputs) -> None:
        self.rate, self.size, self.drift = given.rate, given.size, list[Drift]()
        self._given, self._begin = given, None
        super().__init__(pipeline, request, prompt)

    @torch.no_grad()
    def _run(self) -> Iterator[Video]:
        count, done = self._count(), 0
        for media in self._windows(count):
            clip = Video.from_tensor(media[0, :, : min(media.shape[2], count - done)], self.rate)
            self._noted(look(clip.frames), done / self.rate)
            done += len(clip.frames)
            yield clip
            if done >= count:
                return

    def _count(self) -> float:
        return math.inf if self.request.seconds is None else max(round(self.request.seconds * self.rate), 1)

    def _windows(self, count: float) -> Iterator[Tensor]:
        """Frames [1, 3, n, H, W] that follow one another."""
        spec = self._pipeline.model.spec
        size = covering(spec, self._walk.window[0])
        total = None if math.isinf(count) else covering(spec, int(count))
        return rollout(self._window, size=size, overlap=overlap(spec, size, self.size), total=total, axis=2)

    def _window(self, window: Window) -> Tensor:
        """The frames of one window [1, 3, length, H, W]."""
        pipeline = self._pipeline
        request = self._asked(window.number, (window.begin + window.overlap(2)) / self.rate)
        known = self._opening(request) if window.known is None else window.known
        asked = VideoJob(requests=(request,), grid=(), frames=window.length, rate=self.rate)
        job = video_continued.window(pipeline, asked, known, window.length)
        *_, last = pipeline.walk(job, pipeline.asked(job), pipeline.start(job))
        return video_continued.joined(pipeline.decode(last.x), known)

    def _opening(self, request: Request) -> Tensor | None:
        """What it begins with [1, 3, 1, H, W]: the picture that was given, or that of the model's opener."""
        if self._given.pictures is not None:
            return self._given.pictures[None]
        return None if self._pipeline.model.opener is None else drained(self._pipeline.opening([request], self.size))

    def _noted(self, now: Look, second: float) -> None:
        self._begin = self._begin or now
        self.drift.append(drift(self._begin, now, second))


def drained(events: Generator[Any, None, Tensor]) -> Tensor:
    """What a generator returns in the end."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def stream(
    pipeline: VideoPipeline, prompt: Any, seconds: float | None, size: Any, options: dict[str, Any]
) -> VideoStream:
    """Check what was asked for; nothing is computed yet. options: as for `VideoPipeline.live`."""
    edits = {name: options.pop(name, None) for name in ("first", "fps", "motion")}
    edits = {name: value for name, value in edits.items() if value is not None}
    given = pipeline.given(None, edits, size, seconds, options.get("loop"))
    if seconds is not None:
        check_seconds(seconds, 1 / given.rate, math.inf)
    if options.get("loop"):
        raise ValueError("what goes on has no loop: leave out loop, or make a clip without continuation")
    model, common = pipeline.model, pipeline.common(options, given.rate)
    if model.ends and given.first is None:
        raise ValueError(f"the model {model.name} makes clips from a picture: give first")
    if not (window := common["walk"].window):
        raise ValueError(f"the model {model.name} makes a clip at once, and cannot go on from one")
    overlap(model.spec, covering(model.spec, window[0]), given.size)  # checked now
    text, timeline = split_timeline(prompt, math.inf if seconds is None else seconds)
    [prompts, *_] = prompts_of(text)
    request = Request(
        task="stream",
        prompts=prompts,
        size=given.size,
        seconds=seconds,
        fps=given.rate,
        motion=edits.get("motion"),
        timeline=timeline,
        **given.sources,
        **common,
    )
    return VideoStream(pipeline, request, prompt, given)
