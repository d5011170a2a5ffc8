"""Clips as batches, from a built motion world or a user's own folder of video files."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from einops import rearrange, reduce
from torch import Tensor

from ..data.folder import Entry, entries
from ..data.motion.clips import Clips

ENDINGS = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif", ".apng")


class Videos(Protocol):
    """Anything with clips uint8 [F, H, W, 3] by index, all of one size and `rate` in frames a second, and captions."""

    @property
    def rate(self) -> float: ...

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> np.ndarray: ...

    def captions(self, i: int) -> tuple[str, ...]: ...

    def kind(self, i: int) -> str:
        """A word for what it is, by which a recipe may repeat some."""
        ...


class VideoFiles:
    """The video files below a folder, each brought to `rate` and to `size` pixels a side; captions as for pictures
    (`data.folder`). ValueError if there are none, if a caption is missing, or a file is broken when it is read."""

    def __init__(self, folder: Path, rate: float, size: int) -> None:
        self.rate, self.size = rate, size
        self._entries: list[Entry] = entries(folder, ENDINGS, "videos")
        self._read = lru_cache(maxsize=64)(self._decoded)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, i: int) -> np.ndarray:
        return self._read(i)

    def captions(self, i: int) -> tuple[str, ...]:
        return self._entries[i][1]

    def kind(self, i: int) -> str:
        return "video"

    def _decoded(self, i: int) -> np.ndarray:
        from ..modalities import video

        side = (self.size, self.size)
        return video.load(self._entries[i][0], rate=self.rate, size=side, sound=False).frames


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """Clips a whole number of times smaller, by averaging."""

    clips: Videos
    factor: int

    @property
    def rate(self) -> float:
        return self.clips.rate

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, i: int) -> np.ndarray:
        f = self.factor
        boxes = reduce(self.clips[i].astype(np.float32), "t (h a) (w b) c -> t h w c", "mean", a=f, b=f)
        return boxes.round().astype(np.uint8)

    def captions(self, i: int) -> tuple[str, ...]:
        return self.clips.captions(i)

    def kind(self, i: int) -> str:
        return self.clips.kind(i)


def source(folder: str | Path, split: str, size: int, rate: float) -> Videos:
    """A split of a built motion world, or else all of a user's own folder (FOLDER/SPLIT if that is there), at `size`
    pixels a side; a folder's own files at `rate`, a built world at its own. ValueError if the folder is missing, holds
    neither, or a built world cannot be shrunk to the size."""
    if not Path(folder).is_dir():
        raise ValueError(f"the data folder {folder} is missing: build it (mediagen data build motion), or name one")
    built = Path(folder) / split
    if not (built / "progress").exists():
        return VideoFiles(built if built.is_dir() else Path(folder), rate, size)
    clips = Clips(built)
    height, width = clips[0].shape[1:3]
    if height != width or size < 1 or height % size:
        raise ValueError(f"the clips are {width}x{height}; size {size} must be that side, or divide it")
    return clips if height == size else Shrunk(clips=clips, factor=height // size)


def starts(length: int, frames: int) -> list[int]:
    """Where stretches of `frames` begin, as many as fit into a clip end to end (each begins with the last frame of the
    one before), evenly spread. ValueError if the clip is shorter."""
    if length < frames:
        raise ValueError(f"a clip has {length} frames; {frames} are needed: make `frames` smaller")
    count = max((length - 1) // max(frames - 1, 1), 1)
    return [round(k * (length - frames) / max(count - 1, 1)) for k in range(count)]


def crops(clips: Videos, rng: np.random.Generator, count: int, frames: int, side: int, tries: int = 1) -> Tensor:
    """Random pieces [count, 3, frames, side, side] in [-1, 1] of space and time, half of them mirrored. tries: each is
    that of so many in which most changes."""

    def piece(clip: np.ndarray) -> np.ndarray:
        return max((_crop(clip, rng, frames, side) for _ in range(tries)), key=_change)

    return scaled(np.stack([piece(clips[int(i)]) for i in rng.integers(len(clips), size=count)]))


def whole(clips: Videos, indices: Iterable[int], frames: int) -> Tensor:
    """The first frames of clips [B, 3, frames, H, W] in [-1, 1]; an index past the end starts again."""
    return scaled(np.stack([clips[i % len(clips)][:frames] for i in indices]))


def scaled(pixels: np.ndarray) -> Tensor:
    """uint8 [B, F, H, W, 3] -> float [B, 3, F, H, W] in [-1, 1]."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(127.5).sub_(1)
    return rearrange(x, "b f h w c -> b c f h w")


def check_crop(clips: Videos, frames: int, side: int) -> None:
    """ValueError unless pieces of this size fit into the clips."""
    length, height, width = clips[0].shape[:3]
    if not 0 < side <= min(height, width) or not 0 < frames <= length:
        raise ValueError(f"{frames} frames of {side} pixels a side do not fit into clips of {length} {width}x{height}")


def _crop(clip: np.ndarray, rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
    length, height, width = clip.shape[:3]
    t, y, x = (int(rng.integers(n - m + 1)) for n, m in ((length, frames), (height, side), (width, side)))
    piece = clip[t : t + frames, y : y + side, x : x + side]
    return piece[:, :, ::-1] if rng.random() < 0.5 else piece


def _change(piece: np.ndarray) -> float:
    """Mean absolute difference between the first frame and those in the middle and at the end."""
    seen = piece[[0, len(piece) // 2, -1]].astype(np.int16)
    return float(np.abs(seen - seen[:1]).mean())
