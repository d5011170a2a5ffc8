"""Sound: a prompt and seconds, and a clip to vary, mend or extend, bars to loop, or a timeline -> clips."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioners import beats
from ..conditioners.base import Cond
from ..families.model import Model
from ..generators.diffusion import Box
from ..modalities import audio as audio_modality
from ..request import Request, Source
from .audio_canvas import Canvas, canvas, round_resampled, told
from .audio_checks import BPM, check_edits, check_measure
from .base import Job, Pipeline, batch, noise_name, result_of
from .prompts import prompts_of
from .timed import (
    LONGEST,
    check_between,
    check_seconds,
    check_sides,
    is_number,
    split_timeline,
    timeline_masks,
)

if TYPE_CHECKING:
    from .audio_stream import Stream

Audio = audio_modality.Audio
SHORTEST = 0.1  # seconds
BPM_OF_LOOP = 120.0  # where neither an argument nor the prompt says it
AROUND = 2.0  # seconds past each end of a loop that the model is shown, if it is shown its beats
BORDER = 1.0  # seconds in which one prompt of a timeline gives way to the next
LOUD = 3.0  # what a latent is at most where it is drawn, in deviations
EDITS = ("between", "left", "right", "bars", "beats", "bpm", "alone", "lufs", "lyrics")
SAMPLING = ("temperature", "top_k", "top_p")  # how codes are drawn


@dataclass(frozen=True, kw_only=True, eq=False)
class AudioJob(Job):
    """samples: how many a result has; first: where in the piece the latents begin, in samples; canvas: what an edit
    keeps; mixed: sound [C, samples] that a result is heard with; tempi: what it is shown of the beats (of a stream)."""

    samples: int
    first: int = 0
    canvas: Canvas | None = None
    mixed: Tensor | None = None
    tempi: beats.Course | None = None


class AudioPipeline(Pipeline):
    """A loaded model of sound and what can be done with it. Clips come and go as a path, (array, rate) or Audio; one at
    another rate or number of channels than the model's is converted first."""

    tile = 256  # latents: some 12 s of sound

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        if model.rate is None:
            raise ValueError(f"the model {model.name} makes sound, but its card names no rate")
        self.rate: int = model.rate
        self.stride = model.spec.stride[-1]

    def generate(self, prompt: Any, *, seconds: float | None = None, n: int = 1, **options: Any) -> Any:
        """Sound from text, an Audio or a list of them.

        prompt: text; a list of texts, a batch with `n` clips of each; [(text, weight), ...] to compose; or a timeline
        [(second, text), ...], the first second 0. seconds: 0.5 to 600, None for the model's own; what is longer goes in
        windows that overlap by half. options: bpm (else what the prompts say: "90 bpm"), seed, negative, lufs
        (loudness), loop=True (an end that goes on with the beginning), window (seconds) and the fields of
        `generators.diffusion.Walk`. ValueError for anything that cannot be done.
        """
        return result_of(self.run(self.job(prompt, seconds=seconds, n=n, **options)), prompt)

    def vary(self, clip: Any, prompt: Any, *, strength: float = 0.6, n: int = 1, **options: Any) -> Any:
        """The clip made anew from its noised self: strength near 0 keeps it, 1 keeps nothing."""
        return result_of(self.run(self.job(prompt, n=n, start=clip, strength=strength, **options)), prompt)

    def inpaint(self, clip: Any, start: float, end: float, prompt: Any, *, n: int = 1, **options: Any) -> Any:
        """The seconds from start to end made anew; each sample outside of them stays as it is."""
        return result_of(self.run(self.job(prompt, n=n, start=clip, between=(start, end), **options)), prompt)

    def extend(
        self, clip: Any, prompt: Any, *, left: float = 0.0, right: float = 0.0, n: int = 1, **options: Any
    ) -> Any:
        """So many seconds more before and after the clip, each sample of which stays as it is."""
        return result_of(self.run(self.job(prompt, n=n, start=clip, left=left, right=right, **options)), prompt)

    def accompany(self, clip: Any, prompt: Any, *, alone: bool = False, n: int = 1, **options: Any) -> Any:
        """The clip with another part, which hears it and plays along: "drums only", "solo bass". alone: that part by
        itself. ValueError for a model that was not trained on stems and what plays beside them."""
        return result_of(self.run(self.job(prompt, n=n, start=clip, alone=alone, **options)), prompt)

    def loop(
        self, prompt: Any, *, bars: int = 4, bpm: float | None = None, beats: int = 4, n: int = 1, **options: Any
    ) -> Any:
        """Bars of so many beats that go on for ever without a seam: bars * beats * 60 / bpm seconds, to the sample.
        bpm: None for what the prompt says, or else 120."""
        return result_of(self.run(self.job(prompt, n=n, bars=bars, beats=beats, bpm=bpm, **options)), prompt)

    def live(self, prompt: Any, *, seconds: float | None = None, bpm: float | None = None, **options: Any) -> "Stream":
        """Sound that is made while it is heard, without an end or for so many seconds: `audio_stream.Stream`. bpm: None
        for what the prompt says."""
        from .audio_stream import Stream

        if seconds is not None:
            check_seconds(seconds, self.shortest, math.inf)
        text, timeline = split_timeline(prompt, math.inf if seconds is None else seconds)
        common = self._common(self._walking(dict(options)))
        if common["walk"].loop:
            raise ValueError("a stream goes on and has no loop: leave out loop, or generate a clip")
        [prompts, *_] = prompts_of(text)
        self.check_bpm(bpm)
        about = {"prompts": prompts, "seconds": seconds, "timeline": timeline, "bpm": bpm}
        return Stream(self, Request(task="stream", **about, **common), prompt)

    def job(
        self,
        prompt: Any,
        *,
        seconds: float | None = None,
        n: int = 1,
        start: Any = None,
        previews: bool = False,
        noise: Any = None,
        **options: Any,
    ) -> AudioJob:
        """Check everything that was asked for and put it into a job; nothing is computed yet.

        noise: a tensor [n, C, positions] to start from, or a torch.Generator, drawn from as published pipelines do.
        start: the clip to begin from; with `between` (start, end) it is mended, with `left` or `right` extended, with
        `alone` (True or False) accompanied, with none of them varied; its bpm count from its first sample. bars, beats,
        bpm: a loop instead of `seconds`. The rest is as for `generate`."""
        edits = {name: options.pop(name, None) for name in EDITS}
        edits = {name: value for name, value in edits.items() if value is not None}
        check_edits(edits, seconds, start, options.get("loop"))
        if "lyrics" in edits and not self.model.sings:
            raise ValueError(f"the model {self.model.name} takes no lyrics: leave them out")
        if "bars" in edits:
            options["loop"], edits = True, {"beats": 4, "bpm": told_of(prompt) or BPM_OF_LOOP, **edits}
        else:
            self.check_bpm(edits.get("bpm"))
        clip = None if start is None else audio_modality.load(start)
        heard = self._listened(clip, options) if "alone" in edits else None
        cover = None if clip is None or heard is not None else self._canvas(clip, edits)
        if heard is not None:
            count = heard.shape[1]
        else:
            count = self._count(seconds, edits) if cover is None else cover.samples.shape[1]
        text, timeline = split_timeline(prompt, count / self.rate)
        request = Request(
            task=_task(clip, edits, options),
            prompts=(),
            seconds=count / self.rate,
            timeline=timeline,
            source=None if clip is None else Source(path=clip.path, sha256=clip.sha256),
            noise=noise_name(noise),
            **edits,
            **self._common(self._walking(options)),
        )
        job = AudioJob(requests=batch(request, prompts_of(text), n), grid=(), samples=count, previews=previews)
        job = self._anew(job, heard) if cover is None else self._over(job, cover)
        return replace(job, noise=self._noise(noise, (len(job.requests), self.model.spec.channels, *job.grid), request))

    def _anew(self, job: AudioJob, heard: Tensor | None) -> AudioJob:
        """The job on a grid of its own; heard: the clip [C, N] that it accompanies."""
        grid, request = self._grid(job.samples, job.requests[0]), job.requests[0]
        if heard is None:
            return replace(job, grid=grid)
        padded = F.pad(heard[None], (0, grid[-1] * self.stride - job.samples))
        return replace(job, grid=grid, context=padded, mixed=None if request.alone else heard)

    def _over(self, job: AudioJob, cover: Canvas) -> AudioJob:
        """The job on the grid of a clip of which a part is kept."""
        known, keep = cover.known(self.model.multiple), cover.keep(self.model.multiple)
        grid = self.model.spec.grid(known.shape[2:])
        return replace(job, grid=grid, known=known, keep=keep, first=cover.shown[0], canvas=cover)

    # ---- what was asked for, in samples

    @property
    def shortest(self) -> float:
        """Seconds that the model can be told of at least."""
        return max([SHORTEST, *(scalar.low for scalar in self.model.scalars if scalar.name == "seconds")])

    @property
    def longest(self) -> float:
        """Seconds that the model can be told of at most."""
        return min([math.inf, *(scalar.high for scalar in self.model.scalars if scalar.name == "seconds")])

    @property
    def fixed(self) -> bool:
        """Whether the model makes sound of one length only, of which the beginning is what was asked for."""
        return self.model.multiple == self.model.size[0]

    def _count(self, seconds: float | None, edits: Mapping[str, Any]) -> int:
        if "bars" in edits:
            seconds = check_measure(edits["bars"], edits["beats"], edits["bpm"])
        elif seconds is None:
            seconds = self.model.seconds or self.model.size[0] / self.rate
        check_seconds(seconds, self.shortest, LONGEST)
        return round(seconds * self.rate)

    def _grid(self, count: int, request: Request) -> tuple[int, ...]:
        """Latents for so many samples: as many as cover them or, for a loop, which is stretched, the nearest number. A
        model of one length is shown a loop as often as that length holds it."""
        step = self.stride if self.fixed and request.walk.loop else self.model.multiple
        whole = max(round(count / step), 1) if request.walk.loop else math.ceil(count / step)
        return self.model.spec.grid((whole * step,))

    def check_bpm(self, bpm: Any) -> None:
        """ValueError for beats a minute that cannot be, or that the model cannot be shown."""
        if bpm is None:
            return
        check_seconds(bpm, *BPM, name="bpm")
        if beats.NAME not in self.model.signals and not self.model.sings:
            raise ValueError(f"the model {self.model.name} was not trained with bpm: say it in the prompt")

    def _listened(self, clip: Audio, options: Mapping[str, Any]) -> Tensor:
        """The clip to accompany [C, N], in the model's rate and channels. ValueError if the model cannot hear it."""
        if "context" not in self.model.signals:
            raise ValueError(f"the model {self.model.name} was not trained to accompany: it cannot be shown a clip")
        if options.get("strength", 1) != 1:
            raise ValueError("strength is of a clip that is varied: one that is accompanied stays as it is")
        clip = audio_modality.load(clip, rate=self.rate, channels=self.model.spec.media_channels)
        check_seconds(clip.seconds, self.shortest, LONGEST, "the clip's seconds")
        return torch.from_numpy(clip.samples)

    def _canvas(self, clip: Audio, edits: dict[str, Any]) -> Canvas:
        """The clip, in the model's rate and channels, and what of it is made anew; checks the seconds in `edits`."""
        clip = audio_modality.load(clip, rate=self.rate, channels=self.model.spec.media_channels)
        left, right = check_sides(edits)
        hole = None
        if "between" in edits:
            edits["between"] = check_between(edits["between"], clip.seconds)
            start = min(round(edits["between"][0] * self.rate), clip.samples.shape[1] - 1)
            hole = (start, max(round(edits["between"][1] * self.rate), start + 1))
        elif not left and not right:
            check_seconds(clip.seconds, self.shortest, LONGEST, "the clip's seconds")
        room = {"left": round(left * self.rate), "right": round(right * self.rate)}
        return canvas(clip.samples, self.model.size[0], self.model.multiple, hole=hole, **room)

    def _walking(self, options: dict[str, Any]) -> dict[str, Any]:
        """A window in samples (None: what the model is best at; a number: seconds), and the axis of a loop. ValueError
        for what is of other models."""
        if drawn := [name for name in SAMPLING if options.get(name) is not None]:
            raise ValueError(f"{drawn[0]} is of models that write codes, and {self.model.name} is none: leave it out")
        window = options.get("window")
        if window is None:
            window = self.model.defaults.get("window", self.model.size)
        if is_number(window):
            check_seconds(window, self.shortest, LONGEST, "window")
            window = (max(round(window * self.rate / self.model.multiple), 1) * self.model.multiple,)
        loop = options.get("loop") or ()
        loop = (-1,) if loop is True else tuple(loop)
        if loop not in ((), (-1,)):
            raise ValueError(f"loop must be True or left out, not {loop}: sound has one axis, its time")
        return {**options, "window": tuple(window), "loop": loop or None}

    # ---- what the pipeline asks

    def _places(self, job: Job) -> list[tuple[str, Tensor]]:
        timeline = job.requests[0].timeline
        if not timeline:
            return []
        begins = [second - job.first / self.rate for second, _ in timeline]
        places = (torch.arange(job.grid[-1]) + 0.5) * self.stride / self.rate
        masks = timeline_masks(begins, places, BORDER)
        return [(text, mask[None, None]) for (_, text), mask in zip(timeline[1:], masks[1:], strict=True)]

    def _numbers(self, job: Job, box: Box) -> Mapping[str, float]:
        request, position = job.requests[0], self.stride / self.rate
        first, last = (box[-1].start, box[-1].stop) if box else (0, job.grid[-1])
        if request.walk.loop:  # the middle of a longer piece: neither a beginning nor an end
            there = max(request.seconds, self.model.size[0] / self.rate) if self.fixed else request.seconds
            seconds = min(3 * there, self.longest)
            begin = max(seconds - there, 0.0) / 2
        else:
            begin = job.first / self.rate + first * position
            seconds, begin = told(request.seconds, begin, (last - first) * position, self.longest)
        return {"seconds": max(seconds, self.shortest), "start": begin}

    def _shown(self, job: Job) -> Cond:
        """The context, and the beats of each of the batch."""
        shown = super()._shown(job)
        tempi = [self._tempi(request, job) for request in job.requests]
        if beats.NAME not in self.model.signals or not any(tempi):
            return shown
        step, around = self.stride / self.rate, self._around(job)
        begin, count = job.first / self.rate - around * step, job.grid[-1] + 2 * around
        return {**shown, beats.NAME: torch.stack([beats.signal(each, begin, step, count) for each in tempi])}

    def _tempi(self, request: Request, job: Any) -> beats.Course:
        """Beats of what is new are those of `bpm` or the prompts, and begin with it; a loop has them to its own length.
        Those of a clip that is there are known only if they are given, and then begin with the clip."""
        if job.tempi is not None:
            return job.tempi
        if request.bars is not None:
            whole = job.grid[-1] * self.stride / self.rate
            return beats.course([(0.0, request.bars * request.beats * 60 / whole)])
        if request.walk.loop:
            return ()
        if request.source is not None or request.bpm is not None:
            return beats.course([(request.left or 0.0, request.bpm)])
        if not request.timeline:
            return beats.course([(0.0, beats.told_by(request.prompts))])
        return beats.course([(second, beats.told(text)) for second, text in request.timeline])

    def _around(self, job: Job) -> int:
        if self.fixed and job.requests[0].walk.loop:
            return max(self.model.multiple // self.stride - job.grid[-1], 0) // 2
        if job.requests[0].bars is None or beats.NAME not in self.model.signals:
            return 0
        return min(round(AROUND * self.rate / self.stride), job.grid[-1])

    def _preview(self, x0: Tensor, job: Job) -> Tensor | None:
        """The latents themselves [B, 3, rows, positions]: time to the right, a row for each of the channels, warm where
        they are above 0 and cold where they are below. To decode them would take longer than a step."""
        if not job.previews:
            return None
        warm = (x0.flatten(1, -2) / LOUD).clamp(-1, 1)
        return 2 * torch.stack([warm.relu(), warm.abs() / 2, (-warm).relu()], 1) - 1

    def _finished(self, media: Tensor, job: Job) -> list[Audio]:
        return [self._made(sound, request, job) for sound, request in zip(media, job.requests, strict=True)]

    def _made(self, sound: Tensor, request: Request, job: Any) -> Audio:
        """[C, M] -> the clip with as many samples as were asked for, carrying its request and a hash of them."""
        if request.walk.loop:
            sound = round_resampled(sound, job.samples)
        sound = sound[:, : job.samples] if job.canvas is None else job.canvas.joined(sound, self.rate)
        sound = sound if job.mixed is None else sound + job.mixed
        clip = Audio.from_tensor(sound, self.rate)
        if request.lufs is not None:
            clip = _round_normalized(clip, request.lufs) if request.walk.loop else clip.normalized(request.lufs)
        return replace(clip, metadata=request.to_json(samples=clip.sha256))


def pipeline_of(model: Model) -> AudioPipeline:
    """That of a model of sound: one that writes codes has another."""
    from .audio_codes import CodesPipeline

    return CodesPipeline(model) if hasattr(model, "sampling") else AudioPipeline(model)


PIPELINE = pipeline_of


def _task(clip: Audio | None, edits: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    if clip is None:
        return "loop" if options.get("loop") else "generate"
    if "alone" in edits:
        return "accompany"
    return "inpaint" if "between" in edits else "extend" if "left" in edits or "right" in edits else "vary"


def told_of(prompt: Any) -> float | None:
    """The tempo that a prompt of any kind states first."""
    [first, *_] = prompts_of(split_timeline(prompt, math.inf)[0])
    return beats.told_by(first)


def _round_normalized(clip: Audio, lufs: float) -> Audio:
    """A loop as loud as asked for, by what its neighbours in time need too: its middle one of three in a row."""
    count = clip.samples.shape[1]
    thrice = replace(clip, samples=np.tile(clip.samples, 3)).normalized(lufs)
    return replace(thrice, samples=thrice.samples[:, count : 2 * count].copy())
