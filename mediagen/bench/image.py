"""What a picture costs: the command in a fresh process (wall time, peak memory), and sampling and decoding in process.

Files are read once before anything is timed, so that their caches are warm. Every number is the median of `repeats`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PROMPT = "a cat left of a pizza"
STEPS = 20
BATCH = 16
LIMITS = {"command": 6.0, "picture": 1.5, "memory": 1.5}  # seconds, seconds, GB

# A child's peak memory counts that of the process it was forked from, so the command is started by a small one of its
# own, not by this one, in which torch may be loaded.
LAUNCH = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
seconds = time.perf_counter() - begin
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
print(json.dumps({"seconds": seconds, "peak": peak, "code": done.returncode, "error": done.stderr[-400:]}))
"""
COMMAND = "from mediagen.cli import main; main()"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A run of `mediagen image` in a fresh process: wall seconds from start to exit, peak resident bytes."""

    seconds: float
    peak: int


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
        runs = [_launched([sys.executable, "-c", COMMAND, *asked]) for _ in range(repeats + 1)]
    return Command(seconds=median(r["seconds"] for r in runs[1:]), peak=max(r["peak"] for r in runs))


def _launched(arguments: Sequence[str]) -> dict[str, Any]:
    launched = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCH, *arguments], capture_output=True, text=True, check=True
    )
    run = json.loads(launched.stdout)
    if run["code"]:
        raise ValueError(f"the command failed with exit code {run['code']}: {run['error'].strip()}")
    return run


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
    from mediagen.pipeline import load

    pipeline = load(model)
    alone = pictures(pipeline, 1, steps=steps, repeats=repeats)
    many = pictures(pipeline, batch, steps=steps, repeats=repeats)
    lines = ["| what | measured | target | |", "| --- | --- | --- | --- |", *_lines(fresh, alone, many, steps)]
    width, height = pipeline.model.size[::-1]
    return "\n".join([*lines, "", f"Model {pipeline.model.name}, {width}x{height}. {_machine()}"])


def _lines(fresh: Command, alone: Pictures, many: Pictures, steps: int) -> list[str]:
    picture, gigabytes = alone.sampling + alone.decoding, fresh.peak / 1e9
    each = many.whole / many.count
    return [
        _limited(f'`mediagen image "{PROMPT}" -o cat.png`, fresh process', fresh.seconds, LIMITS["command"], "s"),
        _limited("its peak memory", gigabytes, LIMITS["memory"], "GB"),
        _limited(f"{steps} steps of sampling and decoding, in process", picture, LIMITS["picture"], "s"),
        f"| of which sampling | {alone.sampling:.2f} s | | |",
        f"| of which decoding | {alone.decoding:.3f} s | | |",
        f"| one picture alone, with its text | {alone.whole:.2f} s | | |",
        _limited(f"each picture of a batch of {many.count}", each, alone.whole, "s"),
        f"| how much faster than alone | {alone.whole / each:.2f} times | | |",
    ]


def _limited(what: str, value: float, limit: float, unit: str) -> str:
    verdict = "reached" if value < limit else "missed"
    return f"| {what} | {value:.2f} {unit} | under {limit:.2f} {unit} | {verdict} |"


def _machine() -> str:
    import os

    import torch

    return f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads."
