"""Drawings by code point, in four styles that come from four packages."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .fetch import Package

if TYPE_CHECKING:
    from PIL import Image

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
