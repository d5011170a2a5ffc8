"""Films that drawings are cut from: the animated ones of the image world's labels.

The animated Fluent emoji come from four packages, as films of 24 frames a second that begin and end alike. They are
resampled to the rate of the world, cut out and scaled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..colours import mean_colour
from ..emoji import plain_code
from ..fetch import Package, Report, fetch
from ..sprites import Sprite
from .world import MotionWorld

if TYPE_CHECKING:
    from PIL import Image

OVER = 2  # pixels a side that are drawn for each pixel of a clip
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
Drawn = tuple[Sprite, np.ndarray]  # a sprite and the frames of its film, [n, height, width, 4]


def animated(world: MotionWorld, cell: int, cache: Path, report: Report) -> Iterator[Drawn]:
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
