"""A built data set read back: memory-mapped pictures, captions and truth by index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


class Scenes:
    """One split of a built data set; a growing one can be read while it is being built.

    images(i) -> uint8 [H, W, 3]; captions(i) -> tuple of strings; truth(i) -> dict. __len__ is how many scenes were
    complete when the object was made.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        for name in ("images.npy", "scenes.jsonl", "progress"):
            if not (self.folder / name).is_file():
                raise ValueError(f"{self.folder} is no split of a built data set: {name} is missing")
        self.pixels: np.ndarray = np.load(self.folder / "images.npy", mmap_mode="r")
        self._length = min(int((self.folder / "progress").read_text()), len(self.pixels))
        self._starts = line_starts(self.folder / "scenes.jsonl", self._length)

    def __len__(self) -> int:
        return self._length

    def images(self, i: int) -> np.ndarray:
        """uint8 [H, W, 3]."""
        return self.pixels[self._checked(i)]

    def captions(self, i: int) -> tuple[str, ...]:
        return tuple(self.record(i)["captions"])

    def truth(self, i: int) -> dict[str, Any]:
        return self.record(i)["truth"]

    def kind(self, i: int) -> str:
        """single, pair (two things and how they stand) or count (several of a kind)."""
        truth = self.truth(i)
        return "pair" if truth.get("relation") else "count" if truth.get("count", 1) > 1 else "single"

    def record(self, i: int) -> dict[str, Any]:
        """{"captions": [...], "truth": {...}}."""
        with (self.folder / "scenes.jsonl").open("rb") as stream:
            stream.seek(self._starts[self._checked(i)])
            return json.loads(stream.readline())

    def _checked(self, i: int) -> int:
        if not 0 <= i < self._length:
            raise IndexError(f"scene {i} is not in 0..{self._length - 1}")
        return i


def line_starts(file: Path, count: int) -> np.ndarray:
    """Where each of the first `count` lines of a file begins: int64 [count]. ValueError if it has fewer."""
    starts = np.zeros(count, np.int64)
    with file.open("rb") as stream:
        for i in range(count):
            starts[i] = stream.tell()
            if not stream.readline().endswith(b"\n"):
                raise ValueError(f"{file} ends before record {i} of {count}; build the data set again to finish it")
    return starts
