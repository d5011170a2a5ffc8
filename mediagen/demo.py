"""The demo: what the shipped models can do, into a folder."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import _cached, models
from .modalities.audio import Audio
from .modalities.image import Image, sheet
from .modalities.video import Video
from .pipelines.base import Event

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
FILM = "mini-video"
SHOTS = (
    "a sailboat moves to the right on a beach",
    "a palm tree becomes smaller under water with bubbles",
    "a pineapple at night, the camera zooms out",
    "a red heart gets smaller on a plain white background",
    "a star shakes from side to side on black",
)
ANIMATED = "a red balloon gets smaller in a blue sky with clouds"  # the second picture
SCREEN = (256, 256)  # pixels of a film: small ones lose most when they are compressed


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
    tune = (yield from music(out, seed)) if MUSIC in models() else None
    if FILM in models():
        yield from film(out, seed, first, tune)


def music(out: Path, seed: int) -> Generator[tuple[Path, Event | None], None, Audio]:
    """A clip, its picture, and a loop of two bars; gives back the clip."""
    pipeline = _cached(MUSIC)
    clip = yield from made(pipeline, out / "12-music.flac", TUNE, seed=seed)
    clip.plot().save(out / "12-music.png")
    yield out / "12-music.png", None
    yield from made(pipeline, out / "13-loop.flac", GROOVE, bars=2, bpm=120.0, seed=seed)
    return clip


def film(out: Path, seed: int, picture: Image, tune: Audio | None) -> Iterator[tuple[Path, Event | None]]:
    """Clips, a picture that moves, frames of all of them, and the clips one after the other with the music."""
    pipeline = _cached(FILM)
    clips: list[Video] = []
    for number, prompt in enumerate(SHOTS):
        clips.append((yield from made(pipeline, out / f"{14 + number}-video.mp4", prompt, seed=seed)))
    size = pipeline.model.size[-2:]
    moved = yield from made(pipeline, out / "19-animated.gif", ANIMATED, first=picture, size=size, seed=seed)
    frames = [clip.image(round(at)) for clip in (*clips, moved) for at in np.linspace(0, clip.count - 1, 6)]
    sheet(frames, columns=6).save(out / "19-video.png")
    yield out / "19-video.png", None
    joined = Video(np.concatenate([clip.frames for clip in clips]), clips[0].rate).fitted(SCREEN)
    joined.with_sound(tune).save(out / "20-film.mp4")
    yield out / "20-film.mp4", None


def made(pipeline: Any, file: Path, prompt: Any, **options: Any) -> Generator[tuple[Path, Event | None], None, Any]:
    """Run one job, save what it made, and give it back."""
    for event in pipeline.stream(pipeline.job(prompt, **options)):
        yield file, event
    result = event.results[0]
    (result.fitted(SCREEN) if isinstance(result, Video) else result).save(file)
    yield file, None
    return result
