"""A data set of one's own: a folder of pictures with captions, read as the built ones are.

Captions come from `metadata.jsonl` or `metadata.csv` in the folder (columns `file_name` and `text` or `captions`), else
from a `.txt` file beside each picture, one caption a line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
TEXTS = ("captions", "text", "caption")
Fit = Literal["crop", "pad", "stretch"]


class Folder:
    """Pictures of a folder (and its subfolders) with their captions.

    size: (height, width) or one side in pixels. fit: "crop" fills the frame and cuts what hangs over, "pad" keeps all
    and adds a border of `background`, "stretch" changes the shape. Raises ValueError naming the file for a folder
    without pictures, a picture without a caption, a caption without its picture, and a broken picture when it is read.
    """

    def __init__(
        self,
        folder: str | Path,
        size: int | tuple[int, int],
        *,
        fit: Fit = "crop",
        background: tuple[int, int, int] = (255, 255, 255),
    ) -> None:
        self.folder, self.fit, self.background = Path(folder), fit, background
        self.size = (size, size) if isinstance(size, int) else size
        if min(self.size) < 1:
            raise ValueError(f"size is {size}; both sides must be at least 1")
        if fit not in ("crop", "pad", "stretch"):
            raise ValueError(f"fit is {fit!r}; it must be 'crop', 'pad' or 'stretch'")
        if not self.folder.is_dir():
            raise ValueError(f"{self.folder} is no folder")
        self.entries = entries(self.folder, ENDINGS, "pictures")

    def __len__(self) -> int:
        return len(self.entries)

    def images(self, i: int) -> np.ndarray:
        """uint8 [H, W, 3]; turned upright by its EXIF, transparency laid on `background`."""
        return np.asarray(_fitted(_opened(self.entries[i][0], self.background), self.size, self.fit, self.background))

    def captions(self, i: int) -> tuple[str, ...]:
        return self.entries[i][1]

    def check(self) -> list[str]:
        """Reads every picture; one line for each that is broken."""
        wrong = []
        for file, _ in self.entries:
            try:
                _opened(file, self.background)
            except ValueError as error:
                wrong.append(str(error))
        return wrong


Entry = tuple[Path, tuple[str, ...]]


def entries(folder: Path, endings: Collection[str], what: str) -> list[Entry]:
    """The files of a folder that have one of the `endings` (`what` they are, for errors), and the captions of each.

    ValueError naming the file where a file, a caption or everything is missing."""
    for name, read in (("metadata.jsonl", _json_rows), ("metadata.csv", _csv_rows)):
        if (folder / name).is_file():
            return [_described(folder, name, number, row) for number, row in enumerate(read(folder / name), 1)]
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in endings and file.is_file())
    if not found:
        raise ValueError(
            f"{folder} holds no {what} ({', '.join(sorted(endings))}) and no metadata.jsonl or metadata.csv"
        )
    return [(file, _beside(file)) for file in found]


def _json_rows(file: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                rows.append(dict(json.loads(line)))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{file} line {number} is no JSON object: {error}") from error
    return rows


def _csv_rows(file: Path) -> list[dict[str, Any]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _described(folder: Path, name: str, number: int, row: dict[str, Any]) -> Entry:
    where = f"{folder / name} entry {number}"
    if not row.get("file_name"):
        raise ValueError(f"{where} has no file_name")
    described = folder / row["file_name"]
    if not described.is_file():
        raise ValueError(f"{where} names {row['file_name']!r}, which is not there")
    said = next((row[key] for key in TEXTS if row.get(key)), None)
    captions = tuple(str(text).strip() for text in ([said] if isinstance(said, str) else said or ()))
    if not captions or not all(captions):
        raise ValueError(f"{where} has no caption; give it a 'text' or a list of 'captions'")
    return described, captions


def _beside(described: Path) -> tuple[str, ...]:
    file = described.with_suffix(".txt")
    if not file.is_file():
        raise ValueError(f"{described} has no caption: {file.name} is missing beside it")
    captions = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    if not captions:
        raise ValueError(f"{file} is empty; it must hold a caption")
    return captions


def _opened(file: Path, background: tuple[int, int, int]) -> Image.Image:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} is no readable picture: {error}") from error
    return Image.alpha_composite(Image.new("RGBA", upright.size, (*background, 255)), upright).convert("RGB")


def _fitted(image: Image.Image, size: tuple[int, int], fit: Fit, background: tuple[int, int, int]) -> Image.Image:
    from PIL import Image, ImageOps

    shape, smooth = (size[1], size[0]), Image.Resampling.LANCZOS
    if fit == "crop":
        return ImageOps.fit(image, shape, smooth)
    return ImageOps.pad(image, shape, smooth, color=background) if fit == "pad" else image.resize(shape, smooth)
