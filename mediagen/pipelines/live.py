"""Media that are made while they are heard or seen: what the streams of sound and of video share."""

import math
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any, Generic, TypeVar

from ..request import Request
from .base import Pipeline
from .prompts import Prompts, prompts_of
from .timed import split_timeline

Clip = TypeVar("Clip")
Schedule = tuple[tuple[float, Prompts], ...]


class Live(Generic[Clip]):
    """An iterator of clips that follow one another without a gap, for `request.seconds` or, if None, without an end.

    `prompt` and `guidance` may be changed at any time, by another thread too: what is made from the next window on
    follows. made, worked: seconds of clips so far, and of work; changes: (second, prompts, guidance), the first at 0.
    A stream of a medium says how its clips are made (`_run`).
    """

    def __init__(self, pipeline: Pipeline, request: Request, prompt: Any) -> None:
        self.request = request
        self.made = self.worked = 0.0
        self.changes: list[tuple[float, Prompts, float]] = []
        self._pipeline, self._walk = pipeline, request.walk
        self.prompt = prompt
        self._clips = self._run()

    def __iter__(self) -> Iterator[Clip]:
        return self

    def __next__(self) -> Clip:
        began = perf_counter()
        clip: Any = next(self._clips)
        self.made, self.worked = self.made + clip.seconds, self.worked + perf_counter() - began
        return clip

    @property
    def prompt(self) -> Any:
        """A text, [(text, weight), ...], or a timeline [(second, text), ...] of seconds from the stream's beginning.

        ValueError, at once, for what is no prompt; the stream then goes on with the last one."""
        return self._prompt

    @prompt.setter
    def prompt(self, prompt: Any) -> None:
        schedule = schedule_of(prompt, math.inf if self.request.seconds is None else self.request.seconds)
        self._pipeline.model.text.lengths([text for _, prompts in schedule for text, _ in prompts])
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
        """Seconds that are made in a second of work; under 1 they cannot be played without a pause."""
        return self.made / self.worked if self.worked else 0.0

    def _run(self) -> Iterator[Clip]:
        raise NotImplementedError

    def _asked(self, number: int, second: float) -> Request:
        """What is asked of window `number`, whose new part begins at `second`; its noise is that of sample `number`."""
        prompts = [prompts for begin, prompts in self._schedule if begin <= second][-1]
        if not self.changes or self.changes[-1][1:] != (prompts, self.guidance):
            self.changes.append((second, prompts, self.guidance))
        return replace(self.request, sample=number, prompts=prompts, timeline=(), walk=self._walk)


def schedule_of(prompt: Any, seconds: float) -> Schedule:
    """What is asked for from which second on. ValueError for what is no prompt of one piece."""
    first, timeline = split_timeline(prompt, seconds)
    if timeline:
        return tuple((second, ((text, 1.0),)) for second, text in timeline)
    prompts = prompts_of(first)
    if len(prompts) != 1:
        raise ValueError(f"a stream has one prompt, or a timeline [(second, text), ...], not a list of {len(prompts)}")
    return ((0.0, prompts[0]),)
