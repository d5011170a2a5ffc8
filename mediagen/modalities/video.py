"""Video: MP4, WebM, MKV, GIF, WebP, APNG and folders of frames in and out, with sound and the request of each."""

import base64
import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from . import audio, audio_formats, video_files
from .audio import Audio
from .image import Image
from .video_files import check_sides, check_suffix
from .video_folder import SOUND
from .video_formats import FORMATS, MOST_VALUES, SoundFacts, check_rate
from .video_frames import even, fitted, resampled

if TYPE_CHECKING:
    from .video_formats import Stream

OTHERS = (".mov", ".m4v", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".wmv", ".flv")  # endings of what is read besides
LONGEST_EMBEDDED = 50_000_000  # pixels of all frames that a notebook's page is made to carry


@dataclass(frozen=True, eq=False)
class Video:
    """A clip. frames: uint8 [F, H, W, 3]; rate: frames a second, 0.01 to 1000; sound: what is heard from the first
    frame on; metadata: the JSON text of the request that made it; path: the file it was read from. ValueError for
    anything else."""

    frames: np.ndarray
    rate: float
    sound: Audio | None = None
    metadata: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        check_rate(self.rate)
        x = self.frames
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != 3 or 0 in x.shape:
            form = f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray | Tensor) else type(x).__name__
            raise ValueError(f"frames must be a uint8 array [F, H, W, 3], none of them 0, not {form}")
        if self.sound is not None and not isinstance(self.sound, Audio):
            raise ValueError(f"sound must be an Audio or None, not {type(self.sound).__name__}; see with_sound")

    @classmethod
    def from_tensor(cls, x: Tensor, rate: float, metadata: str | None = None) -> "Video":
        """x [3, F, H, W] in [-1, 1]; what lies outside is clamped."""
        if x.ndim != 4 or x.shape[0] != 3:
            raise ValueError(f"a clip must be a tensor [3, F, H, W], not {list(x.shape)}")
        levels = (x.detach().float().clamp(-1, 1) + 1) * 127.5
        return cls(levels.round().to(torch.uint8).permute(1, 2, 3, 0).contiguous().cpu().numpy(), rate, None, metadata)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def count(self) -> int:
        """How many frames."""
        return len(self.frames)

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.rate

    @property
    def sha256(self) -> str:
        """A hash of the frames, whatever the file that they lie in, their rate and sound."""
        return sha256(f"{list(self.frames.shape)} ".encode() + self.frames.tobytes()).hexdigest()

    def numpy(self) -> np.ndarray:
        """uint8 [F, H, W, 3]"""
        return self.frames

    def tensor(self) -> Tensor:
        """float32 [3, F, H, W] in [-1, 1], a copy."""
        return torch.tensor(self.frames).permute(3, 0, 1, 2).float().div_(127.5).sub_(1)

    def image(self, i: int) -> Image:
        """Frame i, from the end if it is negative. ValueError if there is none."""
        if isinstance(i, bool) or not isinstance(i, int | np.integer) or not -self.count <= i < self.count:
            raise ValueError(f"there is no frame {i!r}: the clip has {self.count}, from 0 to {self.count - 1}")
        return Image(self.frames[i])

    def with_sound(self, sound: Any) -> "Video":
        """With another sound (a path, (array, rate) or Audio), cut where the clip ends, or with none (None)."""
        if sound is not None:
            sound = audio.load(sound)
            kept = sound.samples[:, : max(round(self.seconds * sound.rate), 1)]
            sound = dataclasses.replace(sound, samples=kept)
        return dataclasses.replace(self, sound=sound)

    def resampled(self, rate: float) -> "Video":
        """At another rate: the frame of time i / rate is the one that begins nearest to it; the sound stays."""
        check_rate(rate)
        if rate == self.rate:
            return self
        frames = np.stack(list(resampled(even(self.frames, self.rate), rate)))
        return dataclasses.replace(self, frames=frames, rate=rate)

    def fitted(self, size: tuple[int, int]) -> "Video":
        """Scaled to fill (width, height) and cut at the middle."""
        check_sides(size)
        if tuple(size) == self.size:
            return self
        return dataclasses.replace(self, frames=np.stack([fitted(frame, size) for frame in self.frames]))

    def save(
        self, path: str | Path, *, crf: int | None = None, quality: int | None = None, kbps: int | None = None
    ) -> Path:
        """Write MP4, WebM, MKV, GIF, WebP or APNG by the ending, or a folder of PNG frames without one; whole or not at
        all, with the sound and the metadata.

        crf, quality, kbps: as for `video_files.write`, else the format's default. ValueError for an unknown ending,
        what the format cannot hold (a sound in a GIF), or a place that cannot be written.
        """
        sound = None
        if self.sound is not None:
            facts = {"rate": self.sound.rate, "channels": self.sound.channels, "metadata": None}
            sound = audio_formats.Stream(blocks=iter([self.sound.samples]), **facts)
        options = {"sound": sound, "metadata": self.metadata, "crf": crf, "quality": quality, "kbps": kbps}
        return video_files.write(path, [self.frames], self.rate, **options)

    def sheet(self, *, count: int = 12, columns: int = 4) -> Image:
        """Up to `count` frames evenly spread over the clip, side by side, with their times."""
        from .video_sheet import picture

        return picture(self.frames, self.rate, count=count, columns=columns)

    def _repr_html_(self) -> str:
        """Notebooks show a player that repeats, or the contact sheet of what is too long for a page."""
        if self.count * self.size[0] * self.size[1] > LONGEST_EMBEDDED:
            drawn = base64.b64encode(self.sheet()._repr_png_()).decode()
            words = f"<p>{self.seconds:.0f} s are too long to play from within a page: save the clip to watch.</p>"
            return f'<img src="data:image/png;base64,{drawn}" alt="frames of the clip">{words}'
        with TemporaryDirectory() as folder:
            clip = self.with_sound(self.sound and self.sound.mixed(min(self.sound.channels, 2)))
            film = base64.b64encode(clip.save(Path(folder) / "clip.mp4").read_bytes()).decode()
        style = f"width:{max(self.size[0], 320)}px;max-width:100%"
        heard = "" if self.sound else " autoplay muted"
        return f'<video controls loop{heard} style="{style}" src="data:video/mp4;base64,{film}"></video>'


def load(source: Any, *, rate: float | None = None, size: tuple[int, int] | None = None, sound: bool = True) -> Video:
    """A path, (uint8 array [F, H, W, 3], rate) or Video -> Video, at its own rate and size or at those asked for.

    rate: frames a second; each is the one that begins nearest in time. size: (width, height), filled, and cut at the
    middle. sound: False leaves it out. ValueError for a file that is missing, empty, broken, no video, or larger than
    2 GB of frames as asked for.
    """
    if isinstance(source, (str, Path)):
        return _read(Path(source), rate, size, sound)
    if isinstance(source, tuple) and len(source) == 2:
        source = Video(*source)
    if not isinstance(source, Video):
        raise ValueError(f"a video must be a path, (array, rate) or a Video, not {type(source).__name__}")
    clip = source.resampled(source.rate if rate is None else rate).fitted(source.size if size is None else size)
    return clip if sound else clip.with_sound(None)


def _read(path: Path, rate: float | None, size: tuple[int, int] | None, sound: bool) -> Video:
    stream = video_files.read(path, rate=rate, size=size)
    if stream.count is not None:
        _check_amount(path, stream.count * stream.size[0] * stream.size[1] * 3)
    frames = np.concatenate(list(_counted(path, stream)))
    heard = _sound(path, stream.sound) if sound and stream.sound else None
    return Video(frames, stream.rate, heard, stream.metadata, str(path))


def _counted(path: Path, stream: "Stream") -> Iterator[np.ndarray]:
    values = 0
    for block in stream.blocks:
        values += block.size
        _check_amount(path, values)
        yield block


def _check_amount(path: Path, values: int) -> None:
    if values > MOST_VALUES:
        raise ValueError(
            f"{path} holds more than {MOST_VALUES} bytes of frames: ask for a smaller size or rate, or read it in "
            "blocks with video_files.read"
        )


def _sound(path: Path, facts: SoundFacts) -> Audio | None:
    """The sound of a film, with silence before it or cut so that it begins with the first frame."""
    clip = audio.load(path / SOUND if path.is_dir() else path)
    lead = round(facts.begin * clip.rate)
    samples = np.pad(clip.samples, ((0, 0), (max(lead, 0), 0)))[:, max(-lead, 0) :]
    return Audio(samples, clip.rate) if samples.shape[1] else None


def is_clip(path: str | Path) -> bool:
    """Whether a path is that of a video: by its ending, a folder, or a WebP that moves."""
    path = Path(path)
    if path.suffix.lower() != ".webp":
        return path.suffix.lower() in (*FORMATS, *OTHERS) and (path.suffix != "" or path.is_dir())
    with suppress(ValueError):
        video_files.read(path)
        return True
    return False


def describe(stream: "Stream") -> str:
    """The facts of an open file in a line: size, frames, seconds, rate, sound."""
    parts = ["{}x{} pixels".format(*stream.size), f"{stream.rate:g} frames a second"]
    if stream.count is not None:
        parts[1:1] = [f"{stream.count} frames, {stream.count / stream.rate:.2f} s"]
    channels = stream.sound and {1: "mono", 2: "stereo"}.get(stream.sound.channels, f"{stream.sound.channels} channels")
    parts.append(f"sound {channels} at {stream.sound.rate} Hz" if stream.sound else "no sound")
    return ", ".join(parts)


__all__ = ["Video", "check_suffix", "describe", "is_clip", "load"]
