"""What a clip costs: the command in a fresh process, sampling and decoding in process, and a stream.

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

PROMPT = "slow jazz, piano and double bass, 90 bpm"
SECONDS = 10.0
STREAMED = 60.0  # seconds of sound
LIVE = {"steps": 8}  # what a stream is measured with
LIMITS = {"command": 8.0, "memory": 1.5, "decoding": 20.0, "stream": 2.0}  # seconds, GB, times real time twice


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip in process: seconds of sampling, of decoding, and in all, text included; sound: its own length."""

    sampling: float
    decoding: float
    whole: float
    sound: float


def command(model: str, *, repeats: int = 3) -> Command:
    """`mediagen audio PROMPT -o clip.flac`, 10 s: median wall seconds, largest peak. ValueError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        asked = ["audio", PROMPT, "-o", str(Path(folder) / "clip.flac"), "--seconds", f"{SECONDS:g}", "--model", model]
        return repeated(asked, repeats)


def clip(pipeline: Any, *, repeats: int = 3) -> Clip:
    """10 s by a loaded pipeline with its own steps, once unmeasured and then the median of `repeats`."""
    runs = [_watched(pipeline) for _ in range(repeats + 1)][1:]
    sampling, decoding, whole = (median(column) for column in zip(*runs, strict=True))
    return Clip(sampling=sampling, decoding=decoding, whole=whole, sound=SECONDS)


def _watched(pipeline: Any) -> tuple[float, float, float]:
    """Seconds of sampling, of decoding and in all, read from the events of one job."""
    job = pipeline.job(PROMPT, seconds=SECONDS, seed=0)
    begin = time.perf_counter()
    at = {event.stage + ("" if event.step else " begins"): time.perf_counter() for event in pipeline.stream(job)}
    return at["decode begins"] - at["encode"], at["done"] - at["decode begins"], at["done"] - begin


def streamed(pipeline: Any, *, seconds: float, **options: Any) -> float:
    """Seconds of sound that a stream makes in a second, over `seconds` of it, its first sound included."""
    stream = pipeline.live(PROMPT, seconds=seconds, seed=0, **options)
    for _ in stream:
        pass
    return stream.real_time_factor


def table(model: str = "mini-audio", *, repeats: int = 3) -> str:
    """The markdown table, each number beside what it must reach. model: a shipped model's name or a model folder."""
    fresh = command(model, repeats=repeats)
    from mediagen.pipelines.opening import load

    pipeline = load(model)
    one, live = clip(pipeline, repeats=repeats), streamed(pipeline, seconds=STREAMED, **LIVE)
    lines = [
        "| what | measured | target | |",
        "| --- | --- | --- | --- |",
        limited(f'`mediagen audio "{PROMPT}"`, {SECONDS:g} s, fresh process', fresh.seconds, LIMITS["command"], "s"),
        limited("its peak memory", fresh.peak / 1e9, LIMITS["memory"], "GB"),
        f"| of {SECONDS:g} s in process: sampling | {one.sampling:.2f} s | | |",
        f"| decoding | {one.decoding:.2f} s | | |",
        f"| in all, with the text | {one.whole:.2f} s | | |",
        limited("decoding, times real time", one.sound / one.decoding, LIMITS["decoding"], "times", least=True),
        limited(
            f"a stream of {STREAMED:g} s, {LIVE['steps']} steps, times real time",
            live,
            LIMITS["stream"],
            "times",
            least=True,
        ),
    ]
    return "\n".join([*lines, "", f"Model {pipeline.model.name}, {pipeline.rate} Hz. {machine()}"])
