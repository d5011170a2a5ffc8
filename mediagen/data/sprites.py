"""The drawings that scenes are made of: cut out, scaled once, recoloured, and kept in one memory-mapped file.

A sprite is RGBA, trimmed to what is visible, its longer side scaled to a cell of fixed size. The table is built once
per world and scene size and reused by every worker.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .colours import mean_colour, measured_colour, recoloured
from .emoji import DRAWERS, PACKAGES, Draw
from .fetch import Report, cache_folder, fetch, unreported
from .world import Label, World

if TYPE_CHECKING:
    from PIL import Image

VERSION = 1  # of the drawings below; part of the cache key


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """One drawing. key: style/code or style/code/colour. row: in the pixel table. width, height: visible pixels in the
    cell, from its top left. color: what it was recoloured to, or the natural colour when there is no doubt, else None.
    mean: its average colour in OKLab.
    """

    key: str
    row: int
    label: str
    style: str
    color: str | None
    changed: bool
    width: int
    height: int
    mean: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Sprites:
    """A table of sprites: pixels uint8 [N, cell, cell, 4] (straight alpha) and what each row is."""

    pixels: np.ndarray
    rows: tuple[Sprite, ...]

    @cached_property
    def plain(self) -> dict[tuple[str, str], Sprite]:
        """(label, style) -> the drawing in its natural colours."""
        return {(s.label, s.style): s for s in self.rows if not s.changed}

    @cached_property
    def changed(self) -> dict[tuple[str, str], tuple[Sprite, ...]]:
        """(label, style) -> the recoloured drawings, none where the label keeps its colour."""
        found: dict[tuple[str, str], tuple[Sprite, ...]] = {}
        for s in self.rows:
            if s.changed:
                found[s.label, s.style] = (*found.get((s.label, s.style), ()), s)
        return found

    def cut(self, sprite: Sprite) -> np.ndarray:
        """RGBA uint8 [height, width, 4]."""
        return self.pixels[sprite.row, : sprite.height, : sprite.width]


def load_sprites(world: World, size: int, cache: Path | None = None, report: Report = unreported) -> Sprites:
    """The sprites of a world for scenes of size x size pixels, from the cache or made now, fetching what is missing."""
    cache = cache or cache_folder()
    folder = cache / "sprites" / _key(world, size)
    if not (folder / "rows.json").exists():
        _make(world, round(size * 0.94), cache, folder, report)
    rows = tuple(
        Sprite(**{**row, "mean": tuple(row["mean"])}) for row in json.loads((folder / "rows.json").read_text())
    )
    return Sprites(pixels=np.load(folder / "pixels.npy", mmap_mode="r"), rows=rows)


def _key(world: World, size: int) -> str:
    labels = [(label.name, label.code, label.recolour, label.tint, label.without) for label in world.labels]
    recipe = [VERSION, size, [asdict(PACKAGES[style]) for style in world.styles], labels, list(world.colours)]
    return f"{world.name}-{size}-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]}"


def _make(world: World, cell: int, cache: Path, folder: Path, report: Report) -> None:
    """Draws every sprite of a world."""
    draws = {style: DRAWERS[style](fetch(PACKAGES[style], cache, report)) for style in world.styles}
    rows: list[Sprite] = []
    pixels: list[np.ndarray] = []
    for number, label in enumerate(world.labels):
        report("sprites", number, len(world.labels))
        for style, draw in draws.items():
            for name, changed, picture in _variants(world, label, style, draw, cell):
                rows.append(_sprite(label, style, len(rows), name, changed, picture))
                pixels.append(_framed(picture, style, cell))
    keep(folder, [asdict(row) for row in rows], np.stack(pixels))
    report("sprites", len(world.labels), len(world.labels))


def _variants(
    world: World, label: Label, style: str, draw: Draw, cell: int
) -> Iterator[tuple[str | None, bool, np.ndarray]]:
    """(colour name, was it changed, RGBA picture) of a label's drawing and its recoloured copies."""
    drawing = None if style in label.without else draw(label.code)
    if drawing is None:
        return
    picture = _trimmed(drawing, round(cell * (0.92 if style == "sticker" else 1)))
    natural = measured_colour(picture) if label.tint else None
    yield natural, False, picture
    for name in world.colours if label.recolour else ():
        if name != natural:
            yield name, True, recoloured(picture, name)


def _sprite(label: Label, style: str, row: int, name: str | None, changed: bool, picture: np.ndarray) -> Sprite:
    framed = _outlined(picture) if style == "sticker" else picture
    height, width = framed.shape[:2]
    light, a, b = (round(float(value), 4) for value in mean_colour(picture))
    key = "/".join([style, label.code, *([name] if changed and name else [])])
    return Sprite(
        key=key,
        row=row,
        label=label.name,
        style=style,
        color=name,
        changed=changed,
        width=width,
        height=height,
        mean=(light, a, b),
    )


def _framed(picture: np.ndarray, style: str, cell: int) -> np.ndarray:
    cut = _outlined(picture) if style == "sticker" else picture
    canvas = np.zeros((cell, cell, 4), np.uint8)
    canvas[: cut.shape[0], : cut.shape[1]] = cut
    return canvas


def _trimmed(drawing: Image.Image, longer: int) -> np.ndarray:
    """What is visible of a drawing, its longer side scaled to a number of pixels, RGBA uint8."""
    from PIL import Image

    box = drawing.getchannel("A").point(lambda a: 255 * (a > 16)).getbbox()
    if box is None:
        raise ValueError("a drawing has no visible pixel")
    cut = drawing.crop(box)
    scale = longer / max(cut.size)
    size = tuple(max(1, round(side * scale)) for side in cut.size)
    return np.asarray(cut.resize(size, Image.Resampling.LANCZOS))


def _outlined(picture: np.ndarray) -> np.ndarray:
    """A die-cut sticker: the picture on a white shape a little larger than itself."""
    from PIL import Image, ImageFilter

    edge = max(2, round(max(picture.shape[:2]) * 0.04))
    padded = np.pad(picture, ((edge, edge), (edge, edge), (0, 0)))
    alpha = (
        Image.fromarray(padded[..., 3])
        .filter(ImageFilter.MaxFilter(2 * edge - 1))
        .filter(ImageFilter.GaussianBlur(0.8))
    )
    paper = Image.merge("RGBA", [*(Image.new("L", alpha.size, 252) for _ in range(3)), alpha])
    return np.asarray(Image.alpha_composite(paper, Image.fromarray(padded, "RGBA")))


def keep(folder: Path, rows: list[dict[str, Any]], pixels: np.ndarray) -> None:
    """Writes a table into a fresh folder and renames it, so that a folder that exists is complete."""
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    fresh.mkdir(parents=True, exist_ok=True)
    np.save(fresh / "pixels.npy", pixels)
    (fresh / "rows.json").write_text(json.dumps(rows))
    try:
        fresh.rename(folder)
    except OSError:  # another process was quicker; its table is the same
        shutil.rmtree(fresh)
