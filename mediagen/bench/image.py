"""What a picture costs: the command in a fresh process (wall time, peak memory), and sampling and decoding in process.

Files are read once before anything is timed, so that their caches are warm. Every number is the median of `repeats`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from .fresh import Command, limited, machine, repeated
from .stages import Stages, stages

PROMPT = "a cat left of a pizza"
STEPS = 20
BATCH = 16
LIMITS = {"command": 6.0, "picture": 1.5, "memory": 1.5}  # seconds, seconds, GB


def command(model: str, *, steps: int = STEPS, repeats: int = 3) -> Command:
    """`mediagen image PROMPT -o cat.png`, run once unmeasured and then `repeats` times: median seconds, largest peak.

    ValueError with the command's own words if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = ["image", PROMPT, "-o", str(Path(folder) / "cat.png"), "--steps", str(steps), "--model", model]
        return repeated(asked, repeats)


def table(model: str = "mini-image", *, steps: int = STEPS, batch: int = BATCH, repeats: int = 3) -> str:
    """The markdown table, each number beside what it must reach. model: a shipped model's name or a model folder."""
    fresh = command(model, steps=steps, repeats=repeats)
    from mediagen.pipelines.opening import load

    pipeline = load(model)
    one, many = (pipeline.job(PROMPT, steps=steps, n=count, seed=0) for count in (1, batch))
    rows = _lines(fresh, stages(pipeline, one, repeats), stages(pipeline, many, repeats), steps, batch)
    lines = ["| what | measured | target | |", "| --- | --- | --- | --- |", *rows]
    width, height = pipeline.model.size[::-1]
    return "\n".join([*lines, "", f"Model {pipeline.model.name}, {width}x{height}. {machine()}"])


def _lines(fresh: Command, alone: Stages, many: Stages, steps: int, batch: int) -> list[str]:
    picture, gigabytes = alone.sampling + alone.decoding, fresh.peak / 1e9
    each = many.whole / batch
    return [
        limited(f'`mediagen image "{PROMPT}" -o cat.png`, fresh process', fresh.seconds, LIMITS["command"], "s"),
        limited("its peak memory", gigabytes, LIMITS["memory"], "GB"),
        limited(f"{steps} steps of sampling and decoding, in process", picture, LIMITS["picture"], "s"),
        f"| of which sampling | {alone.sampling:.2f} s | | |",
        f"| of which decoding | {alone.decoding:.3f} s | | |",
        f"| one picture alone, with its text | {alone.whole:.2f} s | | |",
        limited(f"each picture of a batch of {batch}", each, alone.whole, "s"),
        f"| how much faster than alone | {alone.whole / each:.2f} times | | |",
    ]
