"""What a clip costs: the command in a fresh process, sampling and decoding in process, and going on without an end.

Files are read once before anything is timed, so that their caches are warm. Every number is the median of `repeats`.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .fresh import Command, limited, machine, repeated

PROMPT = "a rocket flies up"
GOING_ON = 10.0  # seconds of a clip that is made by continuation
LIMITS = {"command": 15.0, "memory": 2.0, "decoding": 1.0}  # seconds, GB, times real time


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip in process: seconds of sampling, of decoding, and in all, text included; shown: its own length."""

    sampling: float
    decoding: float
    whole: float
    shown: float


def command(model: str, *, repeats: int = 3) -> Command:
    """`mediagen video PROMPT -o clip.mp4`: median wall seconds, largest peak. ValueError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        asked = ["video", PROMPT, "-o", str(Path(folder) / "clip.mp4"), "--model", model]
        return repeated(asked, repeats)


def clip(pipeline: Any, *, repeats: int = 3, **options: Any) -> Clip:
    """A clip by a loaded pipeline with its own steps and length, once unmeasured and then the median of `repeats`."""
    job = pipeline.job(PROMPT, seed=0, **options)
    runs = [_watched(pipeline, job) for _ in range(repeats + 1)][1:]
    sampling, decoding, whole = (median(column) for column in zip(*runs, strict=True))
    return Clip(sampling=sampling, decoding=decoding, whole=whole, shown=job.frames / job.rate)


def _watched(pipeline: Any, job: Any) -> tuple[float, float, float]:
    """Seconds of sampling, of decoding and in all, read from the events of one job."""
    begin = time.perf_counter()
    at = {event.stage + ("" if event.step else " begins"): time.perf_counter() for event in pipeline.stream(job)}
    return at["decode begins"] - at["encode"], at["done"] - at["decode begins"], at["done"] - begin


def continued(pipeline: Any, *, seconds: float = GOING_ON, **options: Any) -> float:
    """Seconds of video that continuation makes in a second, over `seconds` of it."""
    stream = pipeline.live(PROMPT, seconds=seconds, seed=0, **options)
    for _ in stream:
        pass
    return stream.real_time_factor


def table(model: str = "mini-video", *, repeats: int = 3) -> str:
    """The markdown table, each number beside what it must reach. model: a shipped model's name or a model folder."""
    fresh = command(model, repeats=repeats)
    from mediagen.pipelines.opening import load

    pipeline = load(model)
    one, on = clip(pipeline, repeats=repeats), continued(pipeline)
    rate = {"unit": "times", "least": True}
    lines = [
        "| what | measured | target | |",
        "| --- | --- | --- | --- |",
        limited(f'`mediagen video "{PROMPT}" -o clip.mp4`, fresh process', fresh.seconds, LIMITS["command"], unit="s"),
        limited("its peak memory", fresh.peak / 1e9, LIMITS["memory"], unit="GB"),
        f"| of {one.shown:g} s in process: sampling, {pipeline.model.defaults.get('steps', 20)} steps "
        f"| {one.sampling:.2f} s | | |",
        f"| decoding | {one.decoding:.2f} s | | |",
        f"| in all, with the text | {one.whole:.2f} s | | |",
        limited("decoding, times real time", one.shown / one.decoding, LIMITS["decoding"], **rate),
        f"| {GOING_ON:g} s by continuation, times real time | {on:.2f} times | | |",
    ]
    width, height = pipeline.model.size[-2:]
    about = f"Model {pipeline.model.name}, {width}x{height} at {pipeline.rate:g} frames a second. {machine()}"
    return "\n".join([*lines, "", about])
