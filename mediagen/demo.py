"""The demo: what the shipped models can do, into a folder."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

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
SHOT = "a rocket flies up in outer space"
ANIMATED = "a red balloon moves up in a blue sky with clouds"  # the second picture
TURN = "a soccer ball spins on a green meadow"
SHOTS = ("a cat walks to the right in a forest", "a sailboat moves to the left at sunset", "a rocket flies up in space")
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
    """A clip and its frames, a picture that moves, a loop, and shots one after the other with the music."""
    pipeline = _cached(FILM)
    clip = yield from made(pipeline, out / "14-video.mp4", SHOT, seed=seed)
    clip.sheet().save(out / "14-video.png")
    yield out / "14-video.png", None
    size = pipeline.model.size[-2:]
    yield from made(pipeline, out / "15-animated.mp4", ANIMATED, first=picture, size=size, seed=seed)
    yield from made(pipeline, out / "16-loop.gif", TURN, loop=True, seed=seed)
    seconds = 6.0 if tune is None else tune.seconds
    shots = [(number * seconds / len(SHOTS), shot) for number, shot in enumerate(SHOTS)]
    yield from made(pipeline, out / "17-film.mp4", shots, seconds=seconds, sound=tune, seed=seed)


def made(pipeline: Any, file: Path, prompt: Any, **options: Any) -> Generator[tuple[Path, Event | None], None, Any]:
    """Run one job, save what it made, and give it back."""
    for event in pipeline.stream(pipeline.job(prompt, **options)):
        yield file, event
    result = event.results[0]
    (result.fitted(SCREEN) if isinstance(result, Video) else result).save(file)
    yield file, None
    return result
