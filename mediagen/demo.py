"""The demo: what the shipped models can do, into a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import _cached, models
from .modalities.image import Image, sheet
from .pipeline import Event

PROMPTS = (
    "a cat left of a pizza",
    "a red balloon in a blue sky with clouds",
    "a rocket in outer space",
    "three mushrooms in a forest",
    "a guitar on a wooden table",
    "a butterfly on a plain yellow background",
    "a sailboat at the beach",
    "a yellow car on a green meadow",
)
MUSIC = "mini-audio"
TUNE = "slow jazz, piano and double bass, 96 bpm"  # ten seconds are four bars
GROOVE = "house, drums and synth bass, 120 bpm"


def run(out: Path, seed: int) -> Iterator[tuple[Path, Event | None]]:
    """Write the demo's files into `out`; yields (file, event) as it goes and (file, None) when a file is there."""
    pipeline = _cached("mini-image")
    pictures: list[Image] = []
    for number, prompt in enumerate(PROMPTS):
        file = out / f"{number + 1:02d}-{prompt.replace(' ', '-')}.png"
        picture = yield from made(pipeline, file, prompt, seed=seed)
        pictures.append(picture)
    first = pictures[1]
    varied = yield from made(pipeline, out / "09-varied.png", PROMPTS[1], start=first, strength=0.5, seed=seed + 1)
    stars = "four stars in space among the stars"
    tile = yield from made(pipeline, out / "10-seamless-tile.png", stars, loop=(-1, -2), seed=seed)
    yield from made(pipeline, out / "11-wide.png", "two balloons in the sky", size=(256, 128), seed=seed)
    sheet([*pictures, varied, tile], columns=5).save(out / "sheet.png")
    yield out / "sheet.png", None
    if MUSIC in models():
        yield from music(out, seed)


def music(out: Path, seed: int) -> Iterator[tuple[Path, Event | None]]:
    """A clip, its picture, and a loop of two bars."""
    pipeline = _cached(MUSIC)
    clip = yield from made(pipeline, out / "12-music.flac", TUNE, seed=seed)
    clip.plot().save(out / "12-music.png")
    yield out / "12-music.png", None
    yield from made(pipeline, out / "13-loop.flac", GROOVE, bars=2, bpm=120.0, seed=seed)


def made(pipeline: Any, file: Path, prompt: str, **options: Any) -> Iterator[tuple[Path, Event | None]]:
    """Run one job, save what it made, and give it back."""
    for event in pipeline.stream(pipeline.job(prompt, **options)):
        yield file, event
    event.results[0].save(file)
    yield file, None
    return event.results[0]
