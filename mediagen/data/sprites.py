"""The drawings that scenes are made of: cut out, scaled once, recoloured, and kept in one memory-mapped file.

Four drawing styles come from four packages. A sprite is RGBA, trimmed to what is visible, its longer side scaled to a
cell of fixed size. The table is built once per world and scene size and reused by every worker.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .colours import mean_colour, measured_colour, recoloured
from .fetch import Package, Report, cache_folder, fetch, unreported

if TYPE_CHECKING:
    from PIL import Image

    from .world import Label, World

VERSION = 1  # of the drawings below; part of the cache key
RASTER = 256  # pixels a vector drawing is rasterised at before it is scaled down
Draw = Callable[[str], "Image.Image | None"]

PACKAGES = {
    "3d": Package(
        name="@lobehub/fluent-emoji-3d",
        version="1.1.0",
        licence="MIT",
        sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        notice="Fluent Emoji, copyright Microsoft Corporation, MIT licence.",
    ),
    "flat": Package(
        name="@iconify-json/fluent-emoji-flat",
        version="1.2.6",
        licence="MIT",
        sha256="7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        notice="Fluent Emoji (flat), copyright Microsoft Corporation, MIT licence.",
    ),
    "cartoon": Package(
        name="@iconify-json/noto",
        version="1.2.9",
        licence="Apache-2.0",
        sha256="3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        notice="Noto Emoji, copyright Google LLC, Apache License 2.0.",
    ),
    "sticker": Package(
        name="@iconify-json/twemoji",
        version="1.2.5",
        licence="CC-BY-4.0",
        sha256="19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        notice="Twemoji, copyright Twitter, Inc and other contributors, CC-BY 4.0 "
        "(https://creativecommons.org/licenses/by/4.0/); changed: white outline added, scaled, "
        "recoloured and composed into scenes.",
    ),
}


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
    """Draws every sprite of a world into a fresh folder and renames it, so that a folder that exists is complete."""
    draws = {style: DRAWERS[style](fetch(PACKAGES[style], cache, report)) for style in world.styles}
    rows: list[Sprite] = []
    pixels: list[np.ndarray] = []
    for number, label in enumerate(world.labels):
        report("sprites", number, len(world.labels))
        for style, draw in draws.items():
            for name, changed, picture in _variants(world, label, style, draw, cell):
                rows.append(_sprite(label, style, len(rows), name, changed, picture))
                pixels.append(_framed(picture, style, cell))
    _save(folder, rows, np.stack(pixels))
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


def _save(folder: Path, rows: list[Sprite], pixels: np.ndarray) -> None:
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    fresh.mkdir(parents=True, exist_ok=True)
    np.save(fresh / "pixels.npy", pixels)
    (fresh / "rows.json").write_text(json.dumps([asdict(row) for row in rows]))
    try:
        fresh.rename(folder)
    except OSError:  # another process was quicker; its table is the same
        shutil.rmtree(fresh)


def plain_code(code: str) -> str:
    """A code point sequence without variation selectors and leading zeros, upper case: 2764-fe0f -> 2764."""
    return "-".join(part.lstrip("0") for part in code.upper().split("-") if part != "FE0F")


def _raster_set(folder: Path) -> Draw:
    files = {plain_code(file.stem): file for file in sorted((folder / "package" / "assets").glob("*.webp"))}

    def draw(code: str) -> Image.Image | None:
        from PIL import Image

        return Image.open(files[code]).convert("RGBA") if code in files else None

    return draw


def _vector_set(folder: Path) -> Draw:
    _require_rasteriser()
    package = folder / "package"
    names = {plain_code(code): name for code, name in json.loads((package / "chars.json").read_text()).items()}
    icons = json.loads((package / "icons.json").read_text())

    def draw(code: str) -> Image.Image | None:
        name = names.get(code)
        name = icons.get("aliases", {}).get(name, {}).get("parent", name)
        icon = icons["icons"].get(name)
        return (
            _rasterised(icon["body"], *(icon.get(side, icons.get(side, 16)) for side in ("width", "height")))
            if icon
            else None
        )

    return draw


def _require_rasteriser() -> None:
    from importlib.util import find_spec

    if find_spec("resvg_py") is None:
        raise ValueError("drawing sprites needs resvg-py; install it with: pip install 'mediagen[train]'")


def _rasterised(body: str, width: int, height: int) -> Image.Image:
    import resvg_py
    from PIL import Image

    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    svg = f'<svg {space} width="{width}" height="{height}" viewBox="0 0 {width} {height}">{body}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=RASTER, height=RASTER, dpi=96)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


DRAWERS: dict[str, Callable[[Path], Draw]] = {
    "3d": _raster_set,
    "flat": _vector_set,
    "cartoon": _vector_set,
    "sticker": _vector_set,
}
