"""What media cost in process, read from the events of a job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Seconds of sampling, of decoding (with the finished media made of it), and in all, text included."""

    sampling: float
    decoding: float
    whole: float


def stages(pipeline: Any, job: Any, repeats: int = 3) -> Stages:
    """Of a job by a loaded pipeline, run once unmeasured: the medians of `repeats`."""
    runs = [_watched(pipeline, job) for _ in range(repeats + 1)][1:]
    sampling, decoding, whole = (median(column) for column in zip(*runs, strict=True))
    return Stages(sampling=sampling, decoding=decoding, whole=whole)


def real_time(pipeline: Any, prompt: str, *, seconds: float, **options: Any) -> float:
    """Seconds of media that a stream (`live`) makes in a second, over `seconds` of it, its beginning included."""
    stream = pipeline.live(prompt, seconds=seconds, seed=0, **options)
    for _ in stream:
        pass
    return stream.real_time_factor


def _watched(pipeline: Any, job: Any) -> tuple[float, float, float]:
    begin = time.perf_counter()
    at = {event.stage + ("" if event.step else " begins"): time.perf_counter() for event in pipeline.stream(job)}
    return at["decode begins"] - at["encode"], at["done"] - at["decode begins"], at["done"] - begin
