"""A built data set of clips read back: memory-mapped audio, captions and truth by index and track."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..stored import line_starts

MIX = "mix"


class Grooves:
    """One split of a built data set; a growing one can be read while it is being built.

    audio(i) -> int16 [frames, 2] at 44.1 kHz, mapped from the disk; captions(i) -> tuple of strings; truth(i) -> dict.
    Each takes a track: "mix", or a part of `tracks(i)` where the stems are stored. `clips` lists every (index, track).
    __len__ is how many clips were complete when the object was made.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        for name in ("clips.jsonl", "progress"):
            if not (self.folder / name).is_file():
                raise ValueError(f"{self.folder} is no split of a built data set of clips: {name} is missing")
        self._length = int((self.folder / "progress").read_text())
        self._starts = line_starts(self.folder / "clips.jsonl", self._length)
        self._chunks: dict[int, np.ndarray] = {}  # mapped when first read

    def __len__(self) -> int:
        return self._length

    @property
    def clips(self) -> list[tuple[int, str]]:
        """(index, track) of all that is stored, stems included; reads every record once."""
        return [(i, track) for i in range(self._length) for track in self.tracks(i)]

    def record(self, i: int) -> dict[str, Any]:
        """{"truth": {...}, "chunk": n, "tracks": {name: {"start", "frames", "lufs", "captions"}}}."""
        if not 0 <= i < self._length:
            raise IndexError(f"clip {i} is not in 0..{self._length - 1}")
        with (self.folder / "clips.jsonl").open("rb") as stream:
            stream.seek(self._starts[i])
            return json.loads(stream.readline())

    def tracks(self, i: int) -> tuple[str, ...]:
        """The mix, then the stored stems."""
        return tuple(self.record(i)["tracks"])

    def captions(self, i: int, track: str = MIX) -> tuple[str, ...]:
        return tuple(self._track(self.record(i), track)["captions"])

    def truth(self, i: int) -> dict[str, Any]:
        return self.record(i)["truth"]

    def audio(self, i: int, track: str = MIX) -> np.ndarray:
        """int16 [frames, 2]; 32767 is full scale."""
        record = self.record(i)
        where = self._track(record, track)
        return self._chunk(record["chunk"])[where["start"] : where["start"] + where["frames"]]

    def without(self, i: int, track: str) -> np.ndarray:
        """The mix without one of its stems: int16 [frames, 2]; with `audio(i, track)` a pair for accompaniment."""
        rest = self.audio(i).astype(np.int32) - self.audio(i, track)
        return np.clip(rest, -32768, 32767).astype(np.int16)

    def _track(self, record: dict[str, Any], track: str) -> dict[str, Any]:
        if track not in record["tracks"]:
            raise ValueError(f"this clip has no track {track!r}; it has {', '.join(record['tracks'])}")
        return record["tracks"][track]

    def _chunk(self, number: int) -> np.ndarray:
        if number not in self._chunks:
            self._chunks[number] = np.load(self.folder / chunk_name(number), mmap_mode="r")
        return self._chunks[number]


def chunk_name(number: int) -> str:
    """File of a chunk of clips below the folder of a split: int16 [frames of all tracks, 2]."""
    return f"audio/{number:05d}.npy"
