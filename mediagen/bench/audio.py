"""What a clip costs: the command in a fresh process, sampling and decoding in process, and a stream.

Files are read once before anything is timed, so that their caches are warm. Every number is the median of `repeats`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from .fresh import Command, limited, machine, repeated
from .stages import real_time, stages

PROMPT = "slow jazz, piano and double bass, 90 bpm"
SECONDS = 10.0
STREAMED = 60.0  # seconds of sound
LIVE = {"steps": 8}  # what a stream is measured with
LIMITS = {"command": 8.0, "memory": 1.5, "decoding": 20.0, "stream": 2.0}  # seconds, GB, times real time twice


def command(model: str, *, repeats: int = 3) -> Command:
    """`mediagen audio PROMPT -o clip.flac`, 10 s: median wall seconds, largest peak. ValueError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        asked = ["audio", PROMPT, "-o", str(Path(folder) / "clip.flac"), "--seconds", f"{SECONDS:g}", "--model", model]
        return repeated(asked, repeats)


def table(model: str = "mini-audio", *, repeats: int = 3) -> str:
    """The markdown table, each number beside what it must reach. model: a shipped model's name or a model folder."""
    fresh = command(model, repeats=repeats)
    from mediagen.pipelines.opening import load

    pipeline = load(model)
    one = stages(pipeline, pipeline.job(PROMPT, seconds=SECONDS, seed=0), repeats)
    live = real_time(pipeline, PROMPT, seconds=STREAMED, **LIVE)
    lines = [
        "| what | measured | target | |",
        "| --- | --- | --- | --- |",
        limited(f'`mediagen audio "{PROMPT}"`, {SECONDS:g} s, fresh process', fresh.seconds, LIMITS["command"], "s"),
        limited("its peak memory", fresh.peak / 1e9, LIMITS["memory"], "GB"),
        f"| of {SECONDS:g} s in process: sampling | {one.sampling:.2f} s | | |",
        f"| decoding | {one.decoding:.2f} s | | |",
        f"| in all, with the text | {one.whole:.2f} s | | |",
        limited("decoding, times real time", SECONDS / one.decoding, LIMITS["decoding"], "times", least=True),
        limited(
            f"a stream of {STREAMED:g} s, {LIVE['steps']} steps, times real time",
            live,
            LIMITS["stream"],
            "times",
            least=True,
        ),
    ]
    return "\n".join([*lines, "", f"Model {pipeline.model.name}, {pipeline.rate} Hz. {machine()}"])
