"""What a clip costs: the command in a fresh process, sampling and decoding in process, and going on without an end.

Files are read once before anything is timed, so that their caches are warm. Every number is the median of `repeats`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from .fresh import Command, limited, machine, repeated
from .stages import real_time, stages

PROMPT = "a rocket flies up"
GOING_ON = 10.0  # seconds of a clip that is made by continuation
LIMITS = {"command": 15.0, "memory": 2.0, "decoding": 1.0}  # seconds, GB, times real time


def command(model: str, *, repeats: int = 3) -> Command:
    """`mediagen video PROMPT -o clip.mp4`: median wall seconds, largest peak. ValueError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        asked = ["video", PROMPT, "-o", str(Path(folder) / "clip.mp4"), "--model", model]
        return repeated(asked, repeats)


def table(model: str = "mini-video", *, repeats: int = 3) -> str:
    """The markdown table, each number beside what it must reach. model: a shipped model's name or a model folder."""
    fresh = command(model, repeats=repeats)
    from mediagen.pipelines.opening import load

    pipeline = load(model)
    job = pipeline.job(PROMPT, seed=0)
    one, on = stages(pipeline, job, repeats), real_time(pipeline, PROMPT, seconds=GOING_ON)
    shown = job.frames / job.rate
    lines = [
        "| what | measured | target | |",
        "| --- | --- | --- | --- |",
        limited(f'`mediagen video "{PROMPT}" -o clip.mp4`, fresh process', fresh.seconds, LIMITS["command"], "s"),
        limited("its peak memory", fresh.peak / 1e9, LIMITS["memory"], "GB"),
        f"| of {shown:g} s in process: sampling, {pipeline.model.defaults.get('steps', 20)} steps "
        f"| {one.sampling:.2f} s | | |",
        f"| decoding | {one.decoding:.2f} s | | |",
        f"| in all, with the text | {one.whole:.2f} s | | |",
        limited("decoding, times real time", shown / one.decoding, LIMITS["decoding"], "times", least=True),
        f"| {GOING_ON:g} s by continuation, times real time | {on:.2f} times | | |",
    ]
    width, height = pipeline.model.size[-2:]
    about = f"Model {pipeline.model.name}, {width}x{height} at {pipeline.rate:g} frames a second. {machine()}"
    return "\n".join([*lines, "", about])
