"""The drawings of clips: the sprites of the image world, and films of animated ones and of models that turn.

The animated Fluent emoji come from four packages, as films of 24 frames a second that begin and end alike. They are
resampled to the rate of the world, cut out, scaled and kept in a memory-mapped table, as the turntables are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..colours import mean_colour
from ..fetch import Package, Report, cache_folder, fetch, unreported
from ..sprites import Sprite, Sprites, load_sprites, plain_code
from ..world import load_world
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


MODELS = Package(
    name="sweethome3d-furniture",
    version="1.8-1",
    kind="apt",
    licence="CC0-1.0",
    sha256="3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668",
    notice="Sweet Home 3D models, of which only those of BlendSwap-CC-0.sh3f are used: public domain (CC0), by the "
    "authors named in docs/motion.md, converted by Emmanuel Puybaret.",
)


@dataclass(frozen=True, kw_only=True)
class Film:
    """An animated drawing: uint8 [n, cell, cell, 4], which begins again after its last frame."""

    sprite: Sprite
    frames: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Art:
    """Everything that can be drawn. films: by the key of their sprite; animated, models: label -> its film's sprite."""

    sprites: Sprites
    films: dict[str, Film]

    @cached_property
    def animated(self) -> dict[str, Sprite]:
        return self._filmed("film")

    @cached_property
    def models(self) -> dict[str, Sprite]:
        return self._filmed("model")

    def _filmed(self, source: str) -> dict[str, Sprite]:
        return {film.sprite.label: film.sprite for key, film in self.films.items() if key.startswith(f"{source}/")}

    def length(self, sprite: Sprite) -> int:
        """How many frames its film has; 1 of a drawing that stands still."""
        return len(self.films[sprite.key].frames) if sprite.key in self.films else 1

    def cut(self, sprite: Sprite, frame: int = 0) -> np.ndarray:
        """RGBA uint8 [height, width, 4] of a drawing, or of a frame of its film."""
        if sprite.key not in self.films:
            return self.sprites.cut(sprite)
        frames = self.films[sprite.key].frames
        return frames[frame % len(frames), : sprite.height, : sprite.width]


Drawn = tuple[Sprite, np.ndarray]  # a sprite and the frames of its film, [n, height, width, 4]


def load_art(world: MotionWorld, cache: Path | None = None, report: Report = unreported) -> Art:
    """The drawings for the clips of a world, from the cache or made now, fetching what is missing."""
    from .turntables import turntables

    cache = cache or cache_folder()
    size = OVER * world.size
    cell = round(size * 0.94)
    sprites = load_sprites(load_world(world.base), size, cache, report)
    films: dict[str, Film] = {}
    if _shows_films(world):
        labels = [(label.name, label.code) for label in world.scenes.labels]
        recipe = [VERSION, world.rate, [asdict(package) for package in FILMS], labels]
        films |= _kept(f"films-{world.name}", recipe, cell, cache, lambda: _animated(world, cell, cache, report))
    if _shows_models(world):
        recipe = [VERSION, asdict(MODELS), world.models]
        films |= _kept(f"models-{world.name}", recipe, cell, cache, lambda: turntables(world, cell, cache, report))
    return Art(sprites=sprites, films=films)


def _shows_films(world: MotionWorld) -> bool:
    return bool(world.animated or world.kinds.get("alive"))


def _shows_models(world: MotionWorld) -> bool:
    return bool(world.kinds.get("orbit"))


def sources(world: MotionWorld) -> list[Package]:
    """The packages of the films that a world shows."""
    return [*(FILMS if _shows_films(world) else ()), *([MODELS] if _shows_models(world) else [])]


def _kept(name: str, recipe: list[Any], cell: int, cache: Path, make: Callable[[], Iterator[Drawn]]) -> dict[str, Film]:
    """A table of films, memory-mapped from the cache, made first when it is not there."""
    digest = hashlib.sha256(json.dumps([cell, *recipe]).encode()).hexdigest()[:12]
    folder = cache / "sprites" / f"{name}-{cell}-{digest}"
    if not (folder / "rows.json").exists():
        _save(list(make()), cell, folder)
    pixels, films, start = np.load(folder / "pixels.npy", mmap_mode="r"), {}, 0
    for row in json.loads((folder / "rows.json").read_text()):
        sprite = Sprite(**{**row["sprite"], "mean": tuple(row["sprite"]["mean"])})
        films[sprite.key] = Film(sprite=sprite, frames=pixels[start : start + row["length"]])
        start += row["length"]
    return films


def _save(drawn: list[Drawn], cell: int, folder: Path) -> None:
    """Writes a table into a fresh folder and renames it, so that a folder that exists is complete."""
    rows = [{"sprite": asdict(sprite), "length": len(frames)} for sprite, frames in drawn]
    pixels = np.zeros((sum(len(frames) for _, frames in drawn), cell, cell, 4), np.uint8)
    start = 0
    for _, frames in drawn:
        pixels[start : start + len(frames), : frames.shape[1], : frames.shape[2]] = frames
        start += len(frames)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    fresh.mkdir(parents=True, exist_ok=True)
    np.save(fresh / "pixels.npy", pixels)
    (fresh / "rows.json").write_text(json.dumps(rows))
    try:
        fresh.rename(folder)
    except OSError:  # another process was quicker; its table is the same
        shutil.rmtree(fresh)


def _animated(world: MotionWorld, cell: int, cache: Path, report: Report) -> Iterator[Drawn]:
    """The animated drawings of the labels that have one."""
    files = _files([fetch(package, cache, report) for package in FILMS])
    for number, label in enumerate(world.scenes.labels):
        report("films", number, len(world.scenes.labels))
        if label.code in files and (pictures := _read(files[label.code], world.rate)):
            yield film_of(f"film/{label.code}", label.name, pictures, cell)
    report("films", len(world.scenes.labels), len(world.scenes.labels))


def _files(folders: list[Path]) -> dict[str, Path]:
    """Code point -> file."""
    found = {}
    for folder in folders:
        for file in sorted((folder / "package" / "assets").glob("*.webp")):
            found[plain_code(file.stem)] = file
    return found


def _read(file: Path, rate: float) -> list[Image.Image]:
    """The frames of an animated file at this rate; none of one that stands still."""
    from PIL import Image

    with Image.open(file) as film:
        count = getattr(film, "n_frames", 1)
        frames = []
        for number in range(max(2, int(count * rate / FILM_RATE)) if count > 1 else 0):
            film.seek(min(count - 1, round(number * FILM_RATE / rate)))
            frames.append(film.convert("RGBA"))
    return frames


def film_of(key: str, label: str, pictures: Sequence[Image.Image], cell: int) -> Drawn:
    """RGBA pictures of one size, cut out by what any of them shows and scaled to a cell."""
    from PIL import Image

    box = _box(pictures)
    scale = cell / max(box[2] - box[0], box[3] - box[1])
    size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    cuts = [picture.crop(box).resize(size, Image.Resampling.LANCZOS) for picture in pictures]
    frames = np.stack([np.asarray(cut) for cut in cuts])
    light, a, b = (round(float(value), 4) for value in mean_colour(frames[0]))
    given = {"style": "3d", "row": 0, "color": None, "changed": False, "width": size[0], "height": size[1]}
    return Sprite(key=key, label=label, mean=(light, a, b), **given), frames


def _box(pictures: Sequence[Image.Image]) -> tuple[int, int, int, int]:
    """What is visible in any of the pictures."""
    seen = np.max([np.asarray(picture.getchannel("A")) for picture in pictures], axis=0) > 16
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
