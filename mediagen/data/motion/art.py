"""The drawings of clips: the sprites of the image world, and animated ones, cut out, scaled and kept as they are there.

The animated Fluent emoji come from four packages, as films of 24 frames a second that begin and end alike. They are
resampled to the rate of the world and kept in one memory-mapped table.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..colours import mean_colour
from ..fetch import Package, Report, cache_folder, fetch, unreported
from ..sprites import Sprite, Sprites, load_sprites, plain_code
from ..world import Label, load_world
from .world import MotionWorld

if TYPE_CHECKING:
    from PIL import Image

OVER = 2  # pixels a side that are drawn for each pixel of a clip
VERSION = 1  # of the films below; part of the cache key
FILM_RATE = 24
NOTICE = "Fluent Emoji (animated), copyright Microsoft Corporation, MIT licence."
HASHES = (
    "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea",
    "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0",
    "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43",
    "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3",
)
FILMS = tuple(
    Package(name=f"@lobehub/fluent-emoji-anim-{i}", version="1.0.0", licence="MIT", sha256=digest, notice=NOTICE)
    for i, digest in enumerate(HASHES, 1)
)


@dataclass(frozen=True, kw_only=True)
class Film:
    """An animated drawing: frames first .. first + length of the table, at the rate of the world."""

    sprite: Sprite
    first: int
    length: int


@dataclass(frozen=True, kw_only=True)
class Art:
    """Everything that can be drawn. films: of the labels that have one; pixels: of all of them, uint8 [N, c, c, 4]."""

    sprites: Sprites
    films: dict[str, Film]
    pixels: np.ndarray

    @cached_property
    def animated(self) -> dict[str, Sprite]:
        return {name: film.sprite for name, film in self.films.items()}

    def frames(self, label: str) -> int:
        """How many frames the film of a label has, before it begins again."""
        return self.films[label].length

    def cut(self, sprite: Sprite, alive: bool, frame: int = 0) -> np.ndarray:
        """RGBA uint8 [height, width, 4] of a drawing, or of a frame of an animated one."""
        if not alive:
            return self.sprites.cut(sprite)
        film = self.films[sprite.label]
        return self.pixels[film.first + frame % film.length, : sprite.height, : sprite.width]


def load_art(world: MotionWorld, cache: Path | None = None, report: Report = unreported) -> Art:
    """The drawings for the clips of a world, from the cache or made now, fetching what is missing."""
    cache = cache or cache_folder()
    size = OVER * world.size
    sprites = load_sprites(load_world(world.base), size, cache, report)
    if not (world.animated or world.kinds.get("alive")):
        return Art(sprites=sprites, films={}, pixels=np.zeros((0, 1, 1, 4), np.uint8))
    films, pixels = _films(world, round(size * 0.94), cache, report)
    return Art(sprites=sprites, films=films, pixels=pixels)


def sources(world: MotionWorld) -> list[Package]:
    """The packages of the animated drawings that a world shows."""
    return list(FILMS) if world.animated or world.kinds.get("alive") else []


def _films(world: MotionWorld, cell: int, cache: Path, report: Report) -> tuple[dict[str, Film], np.ndarray]:
    labels = [(label.name, label.code) for label in world.scenes.labels]
    recipe = [VERSION, cell, world.rate, [asdict(package) for package in FILMS], labels]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    folder = cache / "sprites" / f"films-{world.name}-{cell}-{digest}"
    if not (folder / "rows.json").exists():
        _make(world, cell, cache, folder, report)
    films = {}
    for row in json.loads((folder / "rows.json").read_text()):
        drawn = Sprite(**{**row["sprite"], "mean": tuple(row["sprite"]["mean"])})
        films[drawn.label] = Film(sprite=drawn, first=row["first"], length=row["length"])
    return films, np.load(folder / "pixels.npy", mmap_mode="r")


def _make(world: MotionWorld, cell: int, cache: Path, folder: Path, report: Report) -> None:
    """Draws every film into a fresh folder and renames it, so that a folder that exists is complete."""
    files = _files([fetch(package, cache, report) for package in FILMS])
    films: list[Film] = []
    pixels: list[np.ndarray] = []
    for number, label in enumerate(world.scenes.labels):
        report("films", number, len(world.scenes.labels))
        if label.code in files and (frames := _read(files[label.code], world.rate, cell)) is not None:
            films.append(_film(label, frames, sum(map(len, pixels))))
            pixels.append(_framed(frames, cell))
    report("films", len(world.scenes.labels), len(world.scenes.labels))
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    fresh.mkdir(parents=True, exist_ok=True)
    np.save(fresh / "pixels.npy", np.concatenate(pixels) if pixels else np.zeros((0, cell, cell, 4), np.uint8))
    (fresh / "rows.json").write_text(json.dumps([asdict(film) for film in films]))
    try:
        fresh.rename(folder)
    except OSError:  # another process was quicker; its table is the same
        shutil.rmtree(fresh)


def _files(folders: list[Path]) -> dict[str, Path]:
    """Code point -> file."""
    found = {}
    for folder in folders:
        for file in sorted((folder / "package" / "assets").glob("*.webp")):
            found[plain_code(file.stem)] = file
    return found


def _read(file: Path, rate: float, cell: int) -> np.ndarray | None:
    """uint8 [n, h, w, 4] of an animated file at this rate, cut out by what any frame shows; None for a still one."""
    from PIL import Image

    with Image.open(file) as film:
        count = getattr(film, "n_frames", 1)
        if count < 2:
            return None
        frames = []
        for number in range(max(2, int(count * rate / FILM_RATE))):
            film.seek(min(count - 1, round(number * FILM_RATE / rate)))
            frames.append(film.convert("RGBA"))
    box = _box(frames)
    scale = cell / max(box[2] - box[0], box[3] - box[1])
    size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    cuts = [frame.crop(box).resize(size, Image.Resampling.LANCZOS) for frame in frames]
    return np.stack([np.asarray(cut) for cut in cuts])


def _box(frames: list[Image.Image]) -> tuple[int, int, int, int]:
    """What is visible in any of the frames."""
    seen = np.max([np.asarray(frame.getchannel("A")) for frame in frames], axis=0) > 16
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _film(label: Label, frames: np.ndarray, first: int) -> Film:
    light, a, b = (round(float(value), 4) for value in mean_colour(frames[0]))
    sprite = Sprite(key=f"film/{label.code}", row=first, label=label.name, style="3d", color=None, changed=False,
                    width=frames.shape[2], height=frames.shape[1], mean=(light, a, b))  # fmt: skip
    return Film(sprite=sprite, first=first, length=len(frames))


def _framed(frames: np.ndarray, cell: int) -> np.ndarray:
    canvas = np.zeros((len(frames), cell, cell, 4), np.uint8)
    canvas[:, : frames.shape[1], : frames.shape[2]] = frames
    return canvas
