"""What video files there are: how each ending is written, and what it can hold."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from . import audio_formats

RATES = (0.01, 1000.0)  # frames a second
MOST_VALUES = 2_000_000_000  # bytes of frames that are held at once: 22 seconds of 1280x720 at 30 frames a second
SOUNDS = audio_formats.FORMATS


@dataclass(frozen=True, kw_only=True)
class Format:
    """How an ending is written. rates: the least and the most frames a second; side: the most pixels of a side; crf,
    quality: the least, the default, the most of its quality's number (crf: less is better; quality: more is); sound:
    how its sound is coded (None: it has none); even: whether both sides must be. muxer, codec, pixels, muxing, coding
    are FFmpeg's names and options (empty: not written by PyAV)."""

    name: str
    rates: tuple[float, float] = RATES
    side: int = 16_383
    crf: tuple[int, int, int] = (0, 0, 0)
    quality: tuple[int, int, int] = (0, 0, 0)
    sound: audio_formats.Format | None = None
    even: bool = False
    muxer: str = ""
    codec: str = ""
    pixels: str = ""
    muxing: tuple[tuple[str, str], ...] = ()
    coding: tuple[tuple[str, str], ...] = ()


FOLDER = Format(name="folder of PNG frames", side=100_000, sound=SOUNDS[".wav"])
FORMATS = {
    ".mp4": Format(
        name="MP4", crf=(0, 18, 51), sound=SOUNDS[".m4a"], even=True, muxer="mp4", codec="libx264", pixels="yuv420p",
        muxing=(("movflags", "+faststart"),), coding=(("preset", "medium"),),
    ),
    ".webm": Format(
        name="WebM", crf=(0, 24, 63), sound=SOUNDS[".opus"], muxer="webm", codec="libvpx-vp9", pixels="yuv420p",
        muxing=(("cues_to_front", "1"),), coding=(("b", "0"), ("deadline", "good"), ("cpu-used", "2"), ("row-mt", "1")),
    ),
    ".mkv": Format(
        name="MKV", muxer="matroska", codec="ffv1", pixels="bgr0", coding=(("level", "3"), ("slicecrc", "1")),
        sound=audio_formats.Format(name="PCM", channels=2, muxer="matroska", codec="pcm_f32le", sample="flt"),
    ),
    ".gif": Format(name="GIF", rates=(RATES[0], 50.0), side=65_535),
    ".webp": Format(name="WebP", rates=(RATES[0], 90.0), quality=(1, 90, 100)),
    ".apng": Format(name="APNG", rates=(RATES[0], 90.0), side=65_535),
    "": FOLDER,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SoundFacts:
    """The sound of a film. begin: seconds from its first frame to its first sample."""

    rate: int
    channels: int
    begin: float


@dataclass(frozen=True, kw_only=True)
class Source:
    """An open clip as its file has it. size: (width, height); rate: frames a second (None: the file has no times);
    seconds: how long, if its head tells; frames: (second it begins at, seconds it is shown, uint8 [H, W, 3]), the first
    at 0, each read when it is asked for."""

    size: tuple[int, int]
    rate: Fraction | None
    seconds: float | None
    metadata: str | None
    sound: SoundFacts | None
    frames: Iterator[tuple[float, float, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """An open clip at an even rate. size: (width, height); rate: frames a second; count: how many frames, if the file
    tells before it is read; metadata: the request; blocks: uint8 [n, H, W, 3], each read when it is asked for."""

    size: tuple[int, int]
    rate: float
    count: int | None
    metadata: str | None
    sound: SoundFacts | None
    blocks: Iterator[np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What goes into a file: frames of a size (width, height) at a rate, the request, its sound and how that is coded,
    and the number of its quality by the format."""

    format: Format
    size: tuple[int, int]
    rate: Fraction
    metadata: str | None = None
    sound: audio_formats.Stream | None = None
    sound_to: audio_formats.Target | None = None
    quality: int = 0


def check_suffix(path: str | Path) -> Format:
    """The format that a file's ending names (none: a folder of frames); ValueError for an unknown one."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        known = ", ".join(filter(None, FORMATS))
        raise ValueError(f"{path}: unknown ending {ending!r}; a clip is saved as {known}, or without one as a folder")
    return FORMATS[ending]


def check_rate(rate: float) -> None:
    if isinstance(rate, bool) or not isinstance(rate, int | float | Fraction | np.floating) or not math.isfinite(rate):
        raise ValueError(f"rate must be a number of frames a second, not {rate!r}")
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"rate must be from {RATES[0]:g} to {RATES[1]:g} frames a second, not {rate:g}")


def exact(rate: float) -> Fraction:
    """A rate as the fraction that is meant: 23.976 and the like have 1001 below."""
    return Fraction(rate).limit_denominator(1001)


def check_rate_of(path: str | Path, format: Format, rate: float) -> None:
    """ValueError for a rate that the format, or any, cannot hold."""
    check_rate(rate)
    if rate > format.rates[1]:
        raise ValueError(f"{path}: {format.name} is shown at {format.rates[1]:g} frames a second at most, not {rate:g}")


def quality_of(path: str | Path, format: Format, crf: int | None, quality: int | None) -> int:
    """The number that is asked for, or the format's default; ValueError for one that it does not have."""
    for name, value, (least, _, most) in (("crf", crf, format.crf), ("quality", quality, format.quality)):
        if value is not None and (isinstance(value, bool) or not most or not least <= value <= most):
            offered = f"a whole number from {least} to {most}" if most else "left out"
            raise ValueError(f"{path}: {name} must be {offered} for {format.name}, not {value}")
    given = crf if format.crf[2] else quality
    return given if given is not None else max(format.crf[1], format.quality[1])


def check_size(path: str | Path, format: Format, size: tuple[int, int]) -> None:
    if max(size) > format.side:
        raise ValueError(f"{path}: {format.name} holds {format.side} pixels a side at most, not {size[0]}x{size[1]}")


def unreadable(path: str | Path, reason: str) -> ValueError:
    return ValueError(f"cannot read the video {path}: {reason}")
