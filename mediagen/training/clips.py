"""Sounds as batches, from folders of sound files or a built dataset."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

ENDINGS = (".flac", ".wav", ".ogg", ".mp3")


class Clips(Protocol):
    """Anything with stereo sounds by index, all at one `rate` in Hz."""

    rate: int

    def __len__(self) -> int: ...

    def length(self, i: int) -> int:
        """Samples of clip i."""
        ...

    def read(self, i: int, start: int, count: int) -> np.ndarray:
        """float32 [2, count] in [-1, 1]: the samples from `start` on, all of them inside the clip."""
        ...


@dataclass(frozen=True)
class SoundFiles:
    """The sound files below a folder, in the order of their names. ValueError if there are none, or if one is broken,
    has more than two channels or another rate."""

    folder: Path
    rate: int

    def __len__(self) -> int:
        return len(self._files)

    def length(self, i: int) -> int:
        return self._files[i][1]

    def read(self, i: int, start: int, count: int) -> np.ndarray:
        """float32 [2, count]; one channel is heard on both sides."""
        import soundfile

        samples, _ = soundfile.read(
            self._files[i][0], frames=count, start=start, dtype="float32", always_2d=True, fill_value=0
        )
        return np.broadcast_to(samples.T, (2, count))

    @cached_property
    def _files(self) -> list[tuple[str, int]]:
        found = sorted(f for f in self.folder.rglob("*") if f.suffix.lower() in ENDINGS)
        if not found:
            raise ValueError(f"{self.folder} holds no sound files ({', '.join(ENDINGS)})")
        return [(str(file), self._checked(file).frames) for file in found]

    def _checked(self, file: Path) -> Any:
        import soundfile

        try:
            about = soundfile.info(str(file))
        except soundfile.LibsndfileError as error:
            raise ValueError(f"cannot read the sound {file}: {error}") from error
        if about.samplerate != self.rate or about.channels > 2 or about.frames < 1:
            raise ValueError(
                f"{file} has {about.frames} samples at {about.samplerate} Hz in {about.channels} channels; it must "
                f"have {self.rate} Hz and one or two channels: resample it first"
            )
        return about


def source(folder: str | Path, split: str, rate: int) -> Clips:
    """The sounds of a split of a dataset, FOLDER/SPLIT, or else all of a user's own folder.

    ValueError if the folder is missing, or holds no sounds of this rate.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"the data folder {folder} is missing: build it, or name one of sound files")
    built = Path(folder) / split
    return SoundFiles(built if built.is_dir() else Path(folder), rate)


def crops(clips: Clips, rng: np.random.Generator, count: int, length: int) -> Tensor:
    """Random stretches [count, 2, length], half of them with left and right swapped; a clip that is shorter is followed
    by silence."""
    chosen = [_crop(clips, int(i), rng, length) for i in rng.integers(len(clips), size=count)]
    return torch.from_numpy(np.stack(chosen))


def beginnings(clips: Clips, count: int, length: int) -> Tensor:
    """The first `length` samples of the first `count` clips [count, 2, length]; silence follows a shorter one."""
    return torch.from_numpy(np.stack([_stretch(clips, i % len(clips), 0, length) for i in range(count)]))


def _crop(clips: Clips, i: int, rng: np.random.Generator, length: int) -> np.ndarray:
    start = int(rng.integers(max(clips.length(i) - length, 0) + 1))
    stretch = _stretch(clips, i, start, length)
    return stretch[::-1] if rng.random() < 0.5 else stretch


def _stretch(clips: Clips, i: int, start: int, length: int) -> np.ndarray:
    out = np.zeros((2, length), np.float32)
    count = min(length, clips.length(i) - start)
    out[:, :count] = clips.read(i, start, count)
    return out
