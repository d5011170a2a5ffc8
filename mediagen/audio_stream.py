"""Sound that is made while it is heard."""

import math
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .audio_pipeline import AudioJob, AudioPipeline
from .autoencoders.chunks import decode_blocks
from .generators.diffusion import Start
from .modalities.audio import Audio
from .pipeline import Prompts, prompts_of
from .request import Request
from .rollout import Window, rollout
from .timed import split_timeline

CHUNK = 64  # latents that are decoded at once, some 3 s
SHARE = 4  # one part in so many of a window is the last one's tail

Schedule = tuple[tuple[float, Prompts], ...]


class Stream:
    """An iterator of clips that follow one another without a gap, for `request.seconds` or, if None, without an end.

    `prompt` and `guidance` may be changed at any time, by another thread too: what is made from the next window on
    follows. made, worked: seconds of sound so far, and of work; changes: (second, prompts, guidance), the first at 0.
    """

    def __init__(self, pipeline: AudioPipeline, request: Request, prompt: Any) -> None:
        self.request, self.rate, self.channels = request, pipeline.rate, pipeline.model.spec.media_channels
        self.made = self.worked = 0.0
        self.changes: list[tuple[float, Prompts, float]] = []
        self._pipeline, self._walk = pipeline, request.walk
        self.prompt = prompt
        self._clips = self._run()

    def __iter__(self) -> Iterator[Audio]:
        return self

    def __next__(self) -> Audio:
        return next(self._clips)

    @property
    def prompt(self) -> Any:
        """A text, [(text, weight), ...], or a timeline [(second, text), ...] of seconds from the stream's beginning.

        ValueError, at once, for what is no prompt; the stream then goes on with the last one."""
        return self._prompt

    @prompt.setter
    def prompt(self, prompt: Any) -> None:
        schedule = schedule_of(prompt, math.inf if self.request.seconds is None else self.request.seconds)
        self._pipeline.model.text([text for _, prompts in schedule for text, _ in prompts])
        self._prompt, self._schedule = prompt, schedule

    @property
    def guidance(self) -> float:
        """How strongly the prompt is followed. ValueError, at once, for a scale that cannot be."""
        return self._walk.guidance

    @guidance.setter
    def guidance(self, guidance: float) -> None:
        self._walk = replace(self._walk, guidance=guidance)

    @property
    def real_time_factor(self) -> float:
        """Seconds of sound made in a second of work; under 1 it cannot be heard without a pause."""
        return self.made / self.worked if self.worked else 0.0

    @torch.no_grad()
    def _run(self) -> Iterator[Audio]:
        seconds = self.request.seconds
        left, began = math.inf if seconds is None else round(seconds * self.rate), perf_counter()
        for media in decode_blocks(self._pipeline.model.autoencoder, self._latents(), tile=CHUNK):
            clip = Audio.from_tensor(media[0, :, : min(media.shape[-1], left)], self.rate)
            left -= clip.samples.shape[1]
            self.made, self.worked = self.made + clip.seconds, self.worked + perf_counter() - began
            yield clip
            began = perf_counter()
            if left <= 0:
                return

    def _latents(self) -> Iterator[Tensor]:
        pipeline, seconds, multiple = self._pipeline, self.request.seconds, self._pipeline.model.multiple
        [size] = pipeline.model.spec.grid(self._walk.window)
        total = None
        if seconds is not None:
            [total] = pipeline.model.spec.grid((-(-round(seconds * self.rate) // multiple) * multiple,))
        return rollout(self._window, size=size, overlap=size // SHARE, total=total)

    def _window(self, window: Window) -> Tensor:
        """One window's latents [1, C, length]; the noise of window k is that of sample k."""
        stride, known = self._pipeline.stride, window.known
        second = (window.begin + window.overlap(-1)) * stride / self.rate
        prompts = [prompts for begin, prompts in self._schedule if begin <= second][-1]
        self._noted(second, prompts)
        request = replace(self.request, sample=window.number, prompts=prompts, timeline=(), walk=self._walk)
        job = AudioJob(requests=(request,), grid=(window.length,), samples=0, first=window.begin * stride)
        start = None
        if known is not None:
            free = window.length - known.shape[-1]
            keep = F.pad(torch.ones(1, 1, known.shape[-1]), (0, free))
            start = Start(known=F.pad(known, (0, free)), keep=keep)
        *_, last = self._pipeline.walk(job, self._pipeline.asked(job), start)
        return last.x

    def _noted(self, second: float, prompts: Prompts) -> None:
        if not self.changes or self.changes[-1][1:] != (prompts, self.guidance):
            self.changes.append((second, prompts, self.guidance))


def schedule_of(prompt: Any, seconds: float) -> Schedule:
    """What is asked for from which second on. ValueError for what is no prompt of one piece."""
    first, timeline = split_timeline(prompt, seconds)
    if timeline:
        return tuple((second, ((text, 1.0),)) for second, text in timeline)
    prompts = prompts_of(first)
    if len(prompts) != 1:
        raise ValueError(f"a stream has one prompt, or a timeline [(second, text), ...], not a list of {len(prompts)}")
    return ((0.0, prompts[0]),)
