"""What a picture costs: the command in a fresh process (wall time, peak memory), and sampling and decoding in process.

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

PROMPT = "a cat left of a pizza"
STEPS = 20
BATCH = 16
LIMITS = {"command": 6.0, "picture": 1.5, "memory": 1.5}  # seconds, seconds, GB


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A batch in process: seconds of sampling, of decoding (with the picture made of it), and in all, text included."""

    count: int
    sampling: float
    decoding: float
    whole: float


def command(model: str, *, steps: int = STEPS, repeats: int = 3) -> Command:
    """`mediagen image PROMPT -o cat.png`, run once unmeasured and then `repeats` times: median seconds, largest peak.

    ValueError with the command's own words if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = ["image", PROMPT, "-o", str(Path(folder) / "cat.png"), "--steps", str(steps), "--model", model]
        return repeated(asked, repeats)


def pictures(pipeline: Any, count: int, *, steps: int = STEPS, repeats: int = 3) -> Pictures:
    """A batch of `count` by a loaded pipeline, once unmeasured and then the median of `repeats`."""
    runs = [_watched(pipeline, count, steps) for _ in range(repeats + 1)][1:]
    sampling, decoding, whole = (median(column) for column in zip(*runs, strict=True))
    return Pictures(count=count, sampling=sampling, decoding=decoding, whole=whole)


def _watched(pipeline: Any, count: int, steps: int) -> tuple[float, float, float]:
    """Seconds of sampling, of decoding and in all, read from the events of one job."""
    job = pipeline.job(PROMPT, steps=steps, n=count, seed=0)
    begin = time.perf_counter()
    at = {event.stage + ("" if event.step else " begins"): time.perf_counter() for event in pipeline.stream(job)}
    return at["decode begins"] - at["encode"], at["done"] - at["decode begins"], at["done"] - begin


def table(model: str = "mini-image", *, steps: int = STEPS, batch: int = BATCH, repeats: int = 3) -> str:
    """The markdown table, each number beside what it must reach. model: a shipped model's name or a model folder."""
    fresh = command(model, steps=steps, repeats=repeats)
    from mediagen.pipelines.opening import load

    pipeline = load(model)
    alone = pictures(pipeline, 1, steps=steps, repeats=repeats)
    many = pictures(pipeline, batch, steps=steps, repeats=repeats)
    lines = ["| what | measured | target | |", "| --- | --- | --- | --- |", *_lines(fresh, alone, many, steps)]
    width, height = pipeline.model.size[::-1]
    return "\n".join([*lines, "", f"Model {pipeline.model.name}, {width}x{height}. {machine()}"])


def _lines(fresh: Command, alone: Pictures, many: Pictures, steps: int) -> list[str]:
    picture, gigabytes = alone.sampling + alone.decoding, fresh.peak / 1e9
    each = many.whole / many.count
    return [
        limited(f'`mediagen image "{PROMPT}" -o cat.png`, fresh process', fresh.seconds, LIMITS["command"], "s"),
        limited("its peak memory", gigabytes, LIMITS["memory"], "GB"),
        limited(f"{steps} steps of sampling and decoding, in process", picture, LIMITS["picture"], "s"),
        f"| of which sampling | {alone.sampling:.2f} s | | |",
        f"| of which decoding | {alone.decoding:.3f} s | | |",
        f"| one picture alone, with its text | {alone.whole:.2f} s | | |",
        limited(f"each picture of a batch of {many.count}", each, alone.whole, "s"),
        f"| how much faster than alone | {alone.whole / each:.2f} times | | |",
    ]
