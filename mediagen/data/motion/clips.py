"""A built data set of clips read back: memory-mapped frames, captions and truth by index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..stored import line_starts

CHUNK = 64  # clips of one file


class Clips:
    """One split of a built data set; a growing one can be read while it is being built.

    clips[i] -> uint8 [F, H, W, 3], mapped from the disk; captions(i) -> tuple of strings; truth(i) -> dict; rate:
    frames a second. __len__ is how many clips were complete when the object was made.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        for file in (self.folder / "clips.jsonl", self.folder / "progress", self.folder.parent / "world.json"):
            if not file.is_file():
                raise ValueError(f"{self.folder} is no split of a built motion world: {file.name} is missing")
        about = json.loads((self.folder.parent / "world.json").read_text(encoding="utf-8"))
        if about.get("format") != "mediagen motion":
            raise ValueError(f"{self.folder.parent} holds {about.get('format')!r}, not a built motion world")
        self.rate = float(about["motion"]["rate"])
        self.shape = (about["motion"]["frames"], about["motion"]["size"], about["motion"]["size"], 3)
        self._length = int((self.folder / "progress").read_text())
        self._starts = line_starts(self.folder / "clips.jsonl", self._length)
        self._chunks: dict[int, np.ndarray] = {}  # mapped when first read

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> np.ndarray:
        """uint8 [F, H, W, 3]."""
        number, place = divmod(self._checked(i), CHUNK)
        if number not in self._chunks:
            self._chunks[number] = np.load(self.folder / chunk_name(number), mmap_mode="r")
        return self._chunks[number][place]

    def captions(self, i: int) -> tuple[str, ...]:
        return tuple(self.record(i)["captions"])

    def truth(self, i: int) -> dict[str, Any]:
        return self.record(i)["truth"]

    def kind(self, i: int) -> str:
        """The kind of motion: "move", "spin", "zoom", "pair" ..."""
        return self.truth(i)["kind"]

    def record(self, i: int) -> dict[str, Any]:
        """{"captions": [...], "truth": {...}}."""
        with (self.folder / "clips.jsonl").open("rb") as stream:
            stream.seek(self._starts[self._checked(i)])
            return json.loads(stream.readline())

    def _checked(self, i: int) -> int:
        if not 0 <= i < self._length:
            raise IndexError(f"clip {i} is not in 0..{self._length - 1}")
        return i


def chunk_name(number: int) -> str:
    """File of a chunk of clips below the folder of a split: uint8 [clips, F, H, W, 3]."""
    return f"frames/{number:05d}.npy"
