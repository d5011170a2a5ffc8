"""Video files in and out, block by block at constant memory, with their sound and the request that made them."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from . import audio_formats
from .audio_files import MARK
from .replacing import replacing, replacing_folder
from .video_coded import write_coded
from .video_decoded import read_coded
from .video_folder import read_folder, write_folder
from .video_formats import (
    FOLDER,
    Format,
    Source,
    Stream,
    Target,
    check_rate,
    check_rate_of,
    check_size,
    check_suffix,
    exact,
    quality_of,
    unreadable,
)
from .video_frames import fitted, in_blocks, resampled, ticks
from .video_pictures import is_pictures, read_pictures, write_pictures


def write(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    rate: float,
    *,
    sound: audio_formats.Stream | None = None,
    metadata: str | None = None,
    crf: int | None = None,
    quality: int | None = None,
    kbps: int | None = None,
) -> Path:
    """Blocks uint8 [n, H, W, 3] of one clip -> a file or (without an ending) a folder, whole or not at all, at constant
    memory; GIF, WebP and APNG are held in memory.

    sound: as `audio_files.read` opens it. crf: 0 (best) to 51 of MP4, to 63 of WebM; quality: 1 to 100 (exact) of WebP;
    kbps: kbit/s of the sound in MP4 and WebM. ValueError for an unknown ending, what its format cannot hold, no frames,
    or a place that cannot be written.
    """
    path, format = Path(path), check_suffix(path)
    check_rate_of(path, format, rate)
    number = quality_of(path, format, crf, quality)
    sound_to = _sound_to(path, format, sound, kbps)
    frames = _checked(blocks)
    first = next(frames, None)
    if first is None:
        raise ValueError("there are no frames to write")
    size = first.shape[1], first.shape[0]
    check_size(path, format, size)
    to = Target(
        format=format, size=size, rate=exact(rate), metadata=metadata, sound=sound, sound_to=sound_to, quality=number
    )
    writing = write_coded if format.codec else write_folder if format is FOLDER else write_pictures
    with (replacing_folder if format is FOLDER else replacing)(path) as temporary:
        writing(temporary, chain([first], frames), to)
    return path


def _sound_to(
    path: Path, format: Format, sound: audio_formats.Stream | None, kbps: int | None
) -> audio_formats.Target | None:
    if sound is None:
        if kbps is not None:
            raise ValueError(f"{path}: kbps is of sound, and the clip has none: leave it out")
        return None
    if format.sound is None:
        raise ValueError(f"{path}: {format.name} holds no sound; save as .mp4, .webm or .mkv, or leave the sound out")
    return audio_formats.target_of(path, format.sound, sound.rate, sound.channels, None, kbps)


def _checked(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Single frames uint8 [H, W, 3]; ValueError for anything else."""
    shape = None
    for block in blocks:
        if not isinstance(block, np.ndarray) or block.dtype != np.uint8 or block.ndim != 4 or block.shape[3] != 3:
            form = f"{block.dtype} {list(block.shape)}" if isinstance(block, np.ndarray) else type(block).__name__
            raise ValueError(f"a block of frames must be a uint8 array [n, H, W, 3], not {form}")
        shape = shape or block.shape[1:]
        if block.shape[1:] != shape or 0 in shape:
            raise ValueError(
                f"all frames must have one size, not {shape[1]}x{shape[0]} and {block.shape[2]}x{block.shape[1]}"
            )
        yield from block


def read(path: str | Path, *, rate: float | None = None, size: tuple[int, int] | None = None) -> Stream:
    """Open a video file, whatever its ending, or a folder of pictures, at its own rate and size or at those asked for.

    rate: frames a second; each is the one that begins nearest in time. A file whose frames are shown for unequal times
    is brought to its mean rate; a folder without a clip.json must be told one. size: (width, height), filled, and cut
    at the middle. ValueError for what is missing, empty, broken or no video: if its head does not tell, when its
    blocks do.
    """
    path = Path(path)
    if rate is not None:
        check_rate(rate)
    if size is not None:
        check_sides(size)
    source = _opened(path)
    if source.rate is None:
        if rate is None:
            raise ValueError(f"{path} does not tell how many frames a second it has: name the rate")
        source = _paced(source, rate) if path.is_dir() else source
    new = Fraction(rate) if rate is not None else source.rate or Fraction(1)
    frames = resampled(source.frames, float(new))
    return Stream(
        size=size or source.size,
        rate=float(new),
        count=None if source.seconds is None else ticks(source.seconds, float(new)),
        metadata=source.metadata if (source.metadata or "").startswith(MARK) else None,
        sound=source.sound,
        blocks=in_blocks(frames if size is None else (fitted(frame, size) for frame in frames)),
    )


def check_sides(size: tuple[int, int]) -> None:
    whole = isinstance(size, tuple | list) and len(size) == 2 and all(type(side) is int for side in size)
    if not whole or not all(1 <= side <= FOLDER.side for side in size):
        raise ValueError(f"size must be (width, height) in pixels, not {size!r}")


def _paced(source: Source, rate: float) -> Source:
    """Pictures without times, one after another at a rate."""
    frames = ((begin / rate, seconds / rate, frame) for begin, seconds, frame in source.frames)
    return Source(**{**vars(source), "rate": Fraction(rate), "frames": frames})


def _opened(path: Path) -> Source:
    try:
        if path.is_dir():
            return read_folder(path)
        with open(path, "rb") as file:
            head = file.read(12)
        if not head:
            raise unreadable(path, "the file is empty")
        return read_pictures(path) if is_pictures(head) else read_coded(path)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


__all__ = ["check_suffix", "read", "write"]
