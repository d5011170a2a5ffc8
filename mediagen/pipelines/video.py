"""Video: a prompt and seconds, pictures to begin and end with, or a clip to vary, mend, extend or refine -> clips."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..autoencoders.base import filled
from ..families.model import Model
from ..generators.diffusion import Asked, Box, Start
from ..request import Request
from . import video_continued, video_opener
from .base import Event, Job, Pipeline, batch, noise_name, result_of
from .checks import LARGEST, check_size
from .prompts import prompts_of
from .timed import LONGEST, check_seconds, check_sides, is_number, split_timeline, timeline_masks
from .video_canvas import Canvas, covering
from .video_checks import check_count, check_edits
from .video_inputs import Inputs, Video, inputs, known, load_mask
from .video_job import VideoJob, begun, covered, task_of

if TYPE_CHECKING:
    from .video_stream import VideoStream

EDITS = ("first", "last", "mask", "between", "left", "right", "factor", "fps", "motion", "sound")
TIME = -3  # the axis of time of [B, C, F, H, W]
BORDER = 0.5  # seconds in which one prompt of a timeline gives way to the next


class VideoPipeline(Pipeline):
    """A loaded model of video and what can be done with it. Clips come and go as a path, a folder of frames, an array
    or Video; one keeps its own size and rate where no other one is asked for (`size`, `fps`)."""

    tile = 16  # latents: 61 frames of 128x128 pixels beside an f(4, 8, 8) autoencoder

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        if model.rate is None or model.seconds is None:
            raise ValueError(f"the model {model.name} makes video, but its card lacks a rate or seconds")
        self.rate = float(model.rate)
        self.stride = model.spec.stride[0]
        self.frames = covering(model.spec, max(round(model.seconds * self.rate), 1))

    def generate(
        self,
        prompt: Any,
        *,
        seconds: float | None = None,
        size: Any = None,
        first: Any = None,
        last: Any = None,
        n: int = 1,
        **options: Any,
    ) -> Any:
        """A clip from text and, if given, from the pictures that it begins and ends with; a Video or a list of them.

        prompt: text; a list of texts, a batch with `n` clips of each; [(text, weight), ...] to compose; or a timeline
        [(second, text), ...], the first second 0. seconds: None for the model's own; what is longer goes in windows,
        each of which goes on from the one before if the model was trained to be shown what is known; any other's
        overlap by half. Where a model's card names an `opener`, that model of pictures draws the first frame if none is
        given. size: pixels of a side, or (width, height). options: fps, motion (0..1), sound (False: not even a clip's
        own), seed, negative, loop=True, window (seconds) and the fields of `generators.diffusion.Walk`. ValueError for
        anything that cannot be done.
        """
        ends = {"first": first, "last": last}
        return result_of(self.run(self.job(prompt, seconds=seconds, size=size, n=n, **ends, **options)), prompt)

    def between(self, first: Any, last: Any, prompt: Any, **options: Any) -> Any:
        """From one picture to another. Options as for `generate`; without `seconds` as long as the model makes at once
        with both of them in sight."""
        return self.generate(prompt, first=first, last=last, **options)

    def vary(self, clip: Any, prompt: Any, *, strength: float = 0.6, n: int = 1, **options: Any) -> Any:
        """The clip made anew from its noised self: strength near 0 keeps it, 1 keeps nothing."""
        return result_of(self.run(self.job(prompt, n=n, start=clip, strength=strength, **options)), prompt)

    def inpaint(self, clip: Any, mask: Any, prompt: Any, *, between: Any = None, n: int = 1, **options: Any) -> Any:
        """What is white in the mask is made anew, what is black stays as it is; grey mixes. mask: a picture, one for
        each frame, or None for whole frames. between: (start, end), the seconds that this is done in."""
        if mask is None and between is None:
            raise ValueError("inpaint needs a mask, or the seconds between which frames are made anew")
        return result_of(self.run(self.job(prompt, n=n, start=clip, mask=mask, between=between, **options)), prompt)

    def extend(
        self, clip: Any, prompt: Any, *, left: float = 0.0, right: float = 0.0, n: int = 1, **options: Any
    ) -> Any:
        """So many seconds more before and after the clip, each pixel of which stays as it is."""
        return result_of(self.run(self.job(prompt, n=n, start=clip, left=left, right=right, **options)), prompt)

    def interpolate(
        self, clip: Any, factor: int, prompt: Any, *, strength: float = 0.6, n: int = 1, **options: Any
    ) -> Any:
        """2 or 4 times the frames in the same time, each given one as it is. What is between begins as a mixture of its
        neighbours, noised to `strength`."""
        job = self.job(prompt, n=n, start=clip, factor=factor, strength=strength, **options)
        return result_of(self.run(job), prompt)

    def loop(self, prompt: Any, *, seconds: float | None = None, n: int = 1, **options: Any) -> Any:
        """A clip whose end goes on with its beginning, of the nearest number of whole latents (of four frames).

        first: a picture that it is of, for a model that is shown what is known; else its opener draws one. It is what
        the network sees all of the loop go on from, and not one of its frames."""
        return result_of(self.run(self.job(prompt, seconds=seconds, n=n, loop=True, **options)), prompt)

    def job(
        self,
        prompt: Any,
        *,
        seconds: float | None = None,
        size: Any = None,
        n: int = 1,
        start: Any = None,
        previews: bool = False,
        noise: Any = None,
        **options: Any,
    ) -> VideoJob:
        """Check everything that was asked for and put it into a job; nothing is computed yet.

        noise: a tensor [n, C, *grid] to start from, or a torch.Generator, drawn from as published pipelines do.
        start: the clip to begin from; with `mask` or `between` it is mended, with `left` or `right` extended, with
        `factor` interpolated, with none of them varied. The rest is as for `generate`."""
        edits = {name: options.pop(name, None) for name in EDITS}
        edits = {name: value for name, value in edits.items() if value is not None}
        given = self.given(start, edits, size, seconds, options.get("loop"))
        adapted = self.adapters.shown(options, partial(load_mask, rate=given.rate))
        walking = self.common(options, given.rate)
        looped = bool(walking["walk"].loop)
        if adapted.control and (looped or start is not None):
            raise ValueError("control networks lead new clips: leave out control, or what the clip begins from or loop")
        count, rate = self._count(seconds, given, edits, looped), given.rate * edits.get("factor", 1)
        cover = None if looped else known(given, edits, count, self.model.spec, self.frames)
        self._check_pictures(given, edits, cover)
        text, timeline = split_timeline(prompt, count / rate)
        common = {name: edits[name] for name in ("motion", "factor", "between", "left", "right") if name in edits}
        request = Request(
            task=task_of(given, edits, looped),
            prompts=(),
            size=given.size,
            seconds=count / rate,
            fps=given.rate,
            timeline=timeline,
            noise=noise_name(noise),
            control=adapted.control,
            image_prompt=adapted.image_prompt,
            **given.sources,
            **common,
            **walking,
        )
        requests, grid = batch(request, prompts_of(text), n), self._grid(count, given, cover, request)
        job = VideoJob(
            requests=requests,
            grid=grid,
            noise=self._noise(noise, (len(requests), self.model.spec.channels, *grid), request),
            previews=previews,
            adapted=adapted,
            frames=count,
            rate=rate,
            sound=given.heard(count / rate, round(edits.get("left", 0.0) * given.rate) / rate),
            muted=given.muted,
        )
        return video_continued.cut(self, covered(self, begun(self, job, given), cover))

    def stream(self, job: Any) -> Iterator[Event]:
        """The events of a job, the last of them with its media; those of the opener before them."""
        if job.opened:
            job = replace(job, opening=(yield from self.opening(job.requests, job.requests[0].size)))
        if not job.continued:
            yield from super().stream(job)
            return
        media = yield from video_continued.continued(self, job)
        yield Event(stage="done", step=1, total=1, results=tuple(self._finished(media, job)))

    def walks(self, job: Any) -> Sequence[Job]:
        """The job itself, or its windows, as if each of them began as the first one does."""
        if not job.continued:
            return (job,)
        lengths = [length for _, length in video_continued.windows(self.model.spec, job)]
        return [video_continued.window(self, job, job.opening, length) for length in lengths]

    def start(self, job: Any) -> Start | None:
        """What the walk begins from: of a clip that was opened its first latent."""
        if job.opening is None or job.requests[0].walk.loop:
            return super().start(job)
        keep = torch.zeros(1, 1, *job.grid)
        keep[:, :, 0] = 1
        return Start(known=filled(self._opened(job), job.grid[0]), keep=keep, token=self.model.token)

    def asked(self, job: Any) -> Asked:
        """What is asked for; a loop that has a picture is shown it before its first latent, wherever that lies."""
        asked, looped = super().asked(job), bool(job.requests[0].walk.loop)
        return replace(asked, front=self._opened(job)) if looped and job.opening is not None else asked

    def _opened(self, job: VideoJob) -> Tensor:
        """The first latents [B, C, 1, H, W]."""
        return torch.cat([self.encode(picture) for picture in job.opening.split(1)])

    def live(self, prompt: Any, *, seconds: float | None = None, size: Any = None, **options: Any) -> "VideoStream":
        """Clips that go on from one another, without an end or for so many seconds: `video_stream.VideoStream`.

        options: first, fps, motion and those of the walk, as for `generate`."""
        from .video_stream import stream

        return stream(self, prompt, seconds, size, options)

    def given(self, start: Any, edits: Mapping[str, Any], size: Any, seconds: Any, loop: Any) -> Inputs:
        """What was given, loaded. ValueError for what contradicts itself, and what the model cannot be told of."""
        check_edits(edits, seconds, start, loop)
        if loop and "first" in edits and (self.model.token is None or self.model.ends):
            raise ValueError("a loop has no first frame: leave out first, or loop")
        given = inputs(start, edits, size, self.rate, tuple(self.model.size[-2:]), self.model.multiple)
        scalars = {scalar.name: scalar for scalar in self.model.scalars}
        if "motion" in edits and "motion" not in scalars:
            raise ValueError(f"the model {self.model.name} was not trained to be told motion: leave it out")
        if "motion" in edits:
            check_seconds(edits["motion"], scalars["motion"].low, scalars["motion"].high, "motion")
        if "fps" in scalars:
            check_seconds(given.rate, scalars["fps"].low, scalars["fps"].high, "fps")
        elif given.rate != self.rate:
            said = f"{self.rate:g} frames a second, not {given.rate:g}"
            right = "leave out fps" if start is None else f"bring the clip to them by fps={self.rate:g}"
            raise ValueError(f"the model {self.model.name} makes {said}: {right}")
        return given

    def _check_pictures(self, given: Inputs, edits: Mapping[str, Any], cover: Canvas | None) -> None:
        """ValueError unless a model that is shown the picture that a clip begins with has one."""
        if not self.model.ends:
            return
        if cover is None or (given.source is None and given.first is None):
            raise ValueError(f"the model {self.model.name} makes clips from a picture: give first, or a clip to vary")
        changed = given.source is not None and task_of(given, edits, False) != "vary"
        if changed and not bool(cover.whole[max(cover.shown[0], 0)]):
            raise ValueError(
                f"the model {self.model.name} begins with a picture: the first frame that it sees must stay"
            )

    def common(self, options: dict[str, Any], rate: float) -> dict[str, Any]:
        """The fields of a request that all media share; a window in frames and the axis of a loop among them."""
        window = options.get("window")
        if window is None:
            window = self.model.defaults.get("window", (self.frames,))
        if is_number(window):
            check_seconds(window, 1 / rate, LONGEST, "window")
            window = (covering(self.model.spec, round(window * rate)),)
        loop = options.get("loop") or ()
        loop = (TIME,) if loop is True else tuple(loop)
        if loop not in ((), (TIME,)):
            raise ValueError(f"loop must be True or left out, not {loop}: what loops is the time of a clip")
        return self._common({**options, "window": tuple(window), "loop": loop or None})

    @cached_property
    def opener(self) -> Pipeline:
        """The model of pictures that draws first frames, loaded when it is first asked."""
        from .opening import load

        return load(self.model.opener)

    @torch.no_grad()
    def opening(self, requests: Sequence[Request], size: tuple[int, ...]) -> Generator[Event, None, Tensor]:
        """First frames [B, 3, 1, H, W] of these requests, and the events on the way there."""
        width, height = size
        return (yield from video_opener.pictures(self.opener, requests, (width, height), max(self.model.size[-2:])))

    # ---- what was asked for, in frames

    def _count(self, seconds: float | None, given: Inputs, edits: dict[str, Any], looped: bool) -> int:
        """How many frames the result has; checks the seconds in `edits`."""
        if given.source is not None:
            count = len(given.source.frames)
            if "factor" in edits and count < 2:
                raise ValueError("a clip of one frame has nothing to interpolate; it must have two or more")
            left, right = (round(side * given.rate) for side in check_sides(edits))
            count = (count - 1) * edits.get("factor", 1) + 1 + left + right
        elif seconds is None:
            # a last picture that begins a latent is told to the model without what would come before it
            alone = given.last is not None and "last" not in self.model.ends
            count = self.frames - (self.stride - 1 if alone else 0)
        else:
            check_seconds(seconds, 1 / given.rate, LONGEST)
            count = max(round(seconds * given.rate), 1)
        if looped:
            count = max(round(count / self.stride), 1) * self.stride
        check_count(count)
        return count

    def _grid(self, count: int, given: Inputs, cover: Canvas | None, request: Request) -> tuple[int, ...]:
        spec, sides = self.model.spec, given.size[::-1]
        if request.walk.loop:  # each latent of a loop stands for as many frames
            return (count // self.stride, *spec.grid((self.frames, *sides))[1:])
        seen = covering(spec, count) if cover is None else cover.shown[1] - cover.shown[0]
        return spec.grid((seen, *sides))

    def _window(self, window: tuple[int, ...]) -> tuple[int, ...]:
        """(frames,) or (frames, width, height) -> (time, rows, columns) in latent positions."""
        if not window:
            return ()
        if len(window) not in (1, 3):
            raise ValueError(f"window {window} must be seconds, (frames,) or (frames, width, height)")
        sides = check_size(window[1:], self.model.multiple) if len(window) == 3 else (LARGEST, LARGEST)
        return self.model.spec.grid((covering(self.model.spec, window[0]), *sides[::-1]))

    # ---- what the pipeline asks

    def _keeps(self, job: Job) -> bool:
        request = job.requests[0]
        seen = request.last is None or "last" in self.model.ends
        return super()._keeps(job) and request.task == "animate" and seen

    def _places(self, job: Job) -> list[tuple[str, Tensor]]:
        timeline = job.requests[0].timeline
        if not timeline:
            return []
        masks = timeline_masks([second for second, _ in timeline], self._seconds(job), BORDER)
        shape = (1, 1, *job.grid)
        return [
            (text, mask.view(-1, 1, 1).expand(shape)) for (_, text), mask in zip(timeline[1:], masks[1:], strict=True)
        ]

    def _seconds(self, job: Any) -> Tensor:
        """The middle of what each latent stands for, in seconds of the result [time]."""
        count, looped = job.grid[0], bool(job.requests[0].walk.loop)
        edges = [n * self.stride if looped else self.model.spec.covered(0, n) for n in range(count + 1)]
        first = 0 if job.canvas is None else job.canvas.shown[0]
        return (torch.tensor([*pairwise(edges)]).float().mean(1) + first) / job.rate

    def _numbers(self, job: Any, box: Box) -> Mapping[str, float | None]:
        if job.frames == 1:  # of a picture neither is told
            return {"fps": None, "motion": None}
        [high] = [scalar.high for scalar in self.model.scalars if scalar.name == "fps"] or [job.rate]
        return {"fps": min(job.rate, high), "motion": job.requests[0].motion}

    def _projection(self, job: Any) -> Callable[[Tensor], Tensor] | None:
        """Kept frames put into what is decoded of x0: of what this changes, the latents are told."""
        if job.stray is None:
            return None

        def project(x0: Tensor) -> Tensor:
            made = self.decode(x0)
            return x0 + self.encode(torch.lerp(made, job.known, job.stray)) - self.encode(made)

        return project

    def _heard(self, results: list[Video], z: Tensor, job: Any) -> list[Video]:
        """A new clip has the sound that was made with it, unless another one, or none, is asked for."""
        if self.model.hears is None or job.requests[0].source is not None or job.sound is not None or job.muted:
            return results
        made = []
        for sound in self.model.hears(z):
            cut = sound.samples[:, : round(job.frames / job.rate * sound.rate)]
            made.append(replace(sound, samples=np.ascontiguousarray(cut)))
        return [replace(clip, sound=sound) for clip, sound in zip(results, made, strict=True)]

    def _finished(self, media: Tensor, job: Job) -> list[Video]:
        return [self._made(frames, request, job) for frames, request in zip(media, job.requests, strict=True)]

    def _made(self, frames: Tensor, request: Request, job: Any) -> Video:
        """[3, M, H, W] -> the clip with as many frames as were asked for, carrying its request and a hash of them."""
        frames = frames[:, : job.frames] if job.canvas is None else job.canvas.joined(frames)
        clip = replace(Video.from_tensor(frames, job.rate), sound=job.sound)
        return replace(clip, metadata=request.to_json(pixels=clip.sha256))


PIPELINE = VideoPipeline
