"""The drawings of clips: the sprites of the image world, and films of animated ones and of models that turn, which are
kept in memory-mapped tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..fetch import Package, Report, cache_folder, unreported
from ..sprites import Sprite, Sprites, keep, load_sprites
from ..world import load_world
from .films import FILMS, OVER, Drawn, animated
from .turntables import MODELS, turntables
from .world import MotionWorld

VERSION = 1  # of the films below; part of the cache key


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


def load_art(world: MotionWorld, cache: Path | None = None, report: Report = unreported) -> Art:
    """The drawings for the clips of a world, from the cache or made now, fetching what is missing."""
    cache = cache or cache_folder()
    size = OVER * world.size
    cell = round(size * 0.94)
    sprites = load_sprites(load_world(world.base), size, cache, report)
    films: dict[str, Film] = {}
    if _shows_films(world):
        labels = [(label.name, label.code) for label in world.scenes.labels]
        recipe = [VERSION, world.rate, [asdict(package) for package in FILMS], labels]
        films |= _kept(f"films-{world.name}", recipe, cell, cache, lambda: animated(world, cell, cache, report))
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
    rows = [{"sprite": asdict(sprite), "length": len(frames)} for sprite, frames in drawn]
    pixels = np.zeros((sum(len(frames) for _, frames in drawn), cell, cell, 4), np.uint8)
    start = 0
    for _, frames in drawn:
        pixels[start : start + len(frames), : frames.shape[1], : frames.shape[2]] = frames
        start += len(frames)
    keep(folder, rows, pixels)
