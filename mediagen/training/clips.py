"""Sounds as batches, from folders of sound files or a built dataset."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.folder import entries
from ..data.grooves.render import RATE
from ..data.grooves.stored import MIX, Grooves

ENDINGS = (".flac", ".wav", ".ogg", ".mp3")


class Clips(Protocol):
    """Anything with stereo sounds by index, all at one `rate` in Hz, and captions for them."""

    rate: int

    def __len__(self) -> int: ...

    def length(self, i: int) -> int:
        """Samples of clip i."""
        ...

    def read(self, i: int, start: int, count: int) -> np.ndarray:
        """float32 [2, count] in [-1, 1]: the samples from `start` on, all of them inside the clip."""
        ...

    def captions(self, i: int) -> tuple[str, ...]: ...

    def kind(self, i: int) -> str:
        """A word for what it is, by which a recipe may repeat some."""
        ...

    def beat(self, i: int) -> float | None:
        """Seconds of a beat of what begins with the first one of a bar; None where that is unknown."""
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

    def captions(self, i: int) -> tuple[str, ...]:
        """From `metadata.jsonl`, `metadata.csv` or a .txt file beside the sound (`data.folder`). ValueError if none."""
        file = self._files[i][0]
        if file not in self._told:
            raise ValueError(f"{file} has no caption: the metadata of {self.folder} does not name it")
        return self._told[file]

    def kind(self, i: int) -> str:
        return "sound"

    def beat(self, i: int) -> None:
        return None

    @cached_property
    def _files(self) -> list[tuple[str, int]]:
        found = sounds_below(self.folder)
        if not found:
            raise ValueError(f"{self.folder} holds no sound files ({', '.join(ENDINGS)})")
        return [(str(file), self._checked(file).frames) for file in found]

    @cached_property
    def _told(self) -> dict[str, tuple[str, ...]]:
        return {str(file): captions for file, captions in entries(self.folder, ENDINGS, "sounds")}

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


@dataclass(frozen=True, kw_only=True)
class Track:
    """A mix or a stem of a built set: clip `index`, its captions, its samples, its kind, and its beat in seconds."""

    index: int
    name: str
    frames: int
    captions: tuple[str, ...]
    kind: str
    beat: float | None = None


@dataclass(frozen=True)
class Tracks:
    """Everything that a split of a built grooves set holds: each mix and each stem is a clip with captions of its own.

    Kinds: "music", "effect" and "stem" (a part of either, alone)."""

    grooves: Grooves
    rate: int = RATE

    def __len__(self) -> int:
        return len(self._tracks)

    def track(self, i: int) -> Track:
        return self._tracks[i]

    def length(self, i: int) -> int:
        return self._tracks[i].frames

    def read(self, i: int, start: int, count: int) -> np.ndarray:
        track = self._tracks[i]
        samples = self.grooves.audio(track.index, track.name)[start : start + count]
        return samples.T.astype(np.float32) / 32767

    def captions(self, i: int) -> tuple[str, ...]:
        return self._tracks[i].captions

    def kind(self, i: int) -> str:
        return self._tracks[i].kind

    def beat(self, i: int) -> float | None:
        return self._tracks[i].beat

    @cached_property
    def _tracks(self) -> list[Track]:
        """Read once: a set of thousands is a few megabytes."""
        return [track for i in range(len(self.grooves)) for track in tracks_of(self.grooves, i)]


@dataclass(frozen=True)
class Rests:
    """What plays beside each stem: clip i is the mix without track i, and has no captions of its own."""

    tracks: Tracks
    rate: int = RATE

    def __len__(self) -> int:
        return len(self.tracks)

    def length(self, i: int) -> int:
        return self.tracks.length(i)

    def read(self, i: int, start: int, count: int) -> np.ndarray:
        track = self.tracks.track(i)
        samples = self.tracks.grooves.without(track.index, track.name)[start : start + count]
        return samples.T.astype(np.float32) / 32767

    def captions(self, i: int) -> tuple[str, ...]:
        return ()

    def kind(self, i: int) -> str:
        return "rest"

    def beat(self, i: int) -> float | None:
        return self.tracks.beat(i)


def tracks_of(grooves: Grooves, i: int) -> list[Track]:
    """The mix of clip i, and the stems that are stored."""
    record = grooves.record(i)
    whole = record["truth"]["kind"]
    return [
        Track(
            index=i,
            name=name,
            frames=told["frames"],
            captions=tuple(told["captions"]),
            kind=whole if name == MIX else "stem",
            beat=record["truth"].get("beat"),
        )
        for name, told in record["tracks"].items()
    ]


def source(folder: str | Path, split: str, rate: int) -> Clips:
    """The sounds of a split of a built set or of a folder's own, FOLDER/SPLIT, or else all of a user's own folder.

    ValueError if the folder is missing, or holds no sounds of this rate.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"the data folder {folder} is missing: build it, or name one of sound files")
    built = Path(folder) / split
    if (built / "clips.jsonl").exists():
        if rate != RATE:
            raise ValueError(f"{folder} has sounds of {RATE} Hz, and {rate} Hz are wanted")
        return Tracks(Grooves(built))
    return SoundFiles(built if sounds_below(built) else Path(folder), rate)


def sounds_below(folder: Path) -> list[Path]:
    """The sound files below a folder, in the order of their names."""
    return sorted(f for f in folder.rglob("*") if f.suffix.lower() in ENDINGS)


def crops(clips: Clips, rng: np.random.Generator, count: int, length: int) -> Tensor:
    """Random stretches [count, 2, length], half of them with left and right swapped; a clip that is shorter is followed
    by silence."""
    chosen = [_crop(clips, int(i), rng, length) for i in rng.integers(len(clips), size=count)]
    return torch.from_numpy(np.stack(chosen))


def beginnings(clips: Clips, count: int, length: int) -> Tensor:
    """The first `length` samples of the first `count` clips [count, 2, length]; silence follows a shorter one."""
    return torch.from_numpy(np.stack([stretch(clips, i % len(clips), 0, length) for i in range(count)]))


def stretch(clips: Clips, i: int, start: int, length: int) -> np.ndarray:
    """float32 [2, length]: clip i from `start` on, and silence from its end on."""
    out = np.zeros((2, length), np.float32)
    count = max(min(length, clips.length(i) - start), 0)
    if count:
        out[:, :count] = clips.read(i, start, count)
    return out


def _crop(clips: Clips, i: int, rng: np.random.Generator, length: int) -> np.ndarray:
    start = int(rng.integers(max(clips.length(i) - length, 0) + 1))
    found = stretch(clips, i, start, length)
    return found[::-1] if rng.random() < 0.5 else found
