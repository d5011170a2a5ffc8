"""What sound files there are: how each ending is written, and what it can hold."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .audio_signal import check_rate


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a file ending is written. rates: sample rates that it can hold (empty: all); bits: what it offers, the
    default first (32 is float); kbps: the least, the default, the most; the rest are PyAV's names of the container, the
    encoder and its sample layout (empty: written by soundfile)."""

    name: str
    channels: int
    rates: tuple[int, ...] = ()
    bits: tuple[int, ...] = ()
    kbps: tuple[int, int, int] = (0, 0, 0)
    muxer: str = ""
    codec: str = ""
    sample: str = "fltp"

    def rate(self, rate: int) -> int:
        """The sample rate of a clip in the file: its own, or the next higher one of the format, or its highest."""
        return min((r for r in self.rates if r >= rate), default=self.rates[-1]) if self.rates else rate


MP3_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
AAC: dict[str, Any] = {"channels": 2, "rates": AAC_RATES, "kbps": (16, 192, 320), "codec": "aac"}
FORMATS = {
    ".wav": Format(name="WAV", channels=64, bits=(16, 24, 32)),
    ".flac": Format(name="FLAC", channels=8, bits=(16, 24)),
    ".mp3": Format(name="MP3", channels=2, rates=MP3_RATES, kbps=(32, 256, 320), muxer="mp3", codec="libmp3lame"),
    ".opus": Format(
        name="Opus", channels=2, rates=(48_000,), kbps=(6, 128, 256), muxer="opus", codec="libopus", sample="flt"
    ),
    ".m4a": Format(name="M4A", muxer="ipod", **AAC),
    ".aac": Format(name="AAC", muxer="adts", **AAC),
}


@dataclass(frozen=True, kw_only=True)
class Stream:
    """An open file. blocks: float32 [channels, n] in [-1, 1], each read when it is asked for; metadata: the request."""

    rate: int
    channels: int
    metadata: str | None
    blocks: Iterator[np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What goes into a file: a signal of so many channels at a rate, the request, and bits or kbit/s by the format."""

    format: Format
    rate: int
    channels: int
    metadata: str | None = None
    bits: int = 0
    kbps: int = 0


def check_suffix(path: str | Path) -> Format:
    """The format that a file's ending names; ValueError for an unknown one."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise ValueError(f"{path}: unknown ending {ending!r}; sound is saved as {', '.join(FORMATS)}")
    return FORMATS[ending]


def target(
    path: str | Path, rate: int, channels: int, metadata: str | None, bits: int | None, kbps: int | None
) -> Target:
    """What is asked for with the format's own defaults; ValueError for what it cannot hold."""
    to = target_of(path, check_suffix(path), rate, channels, bits, kbps)
    return replace(to, metadata=metadata)


def target_of(path: str | Path, format: Format, rate: int, channels: int, bits: int | None, kbps: int | None) -> Target:
    """The same of a format that no ending names, such as the sound of a film."""
    check_rate(rate)
    if not 1 <= channels <= format.channels:
        raise ValueError(f"{path}: {format.name} is written with 1 to {format.channels} channels, not {channels}")
    if bits is not None and bits not in format.bits:
        offered = " or ".join(map(str, format.bits)) or "left out (it has a bit rate, kbps)"
        raise ValueError(f"{path}: bits must be {offered} for {format.name}, not {bits}")
    least, usual, most = format.kbps
    if kbps is not None and not least <= kbps <= most:
        offered = f"from {least} to {most}" if most else "left out (it has no losses)"
        raise ValueError(f"{path}: kbps must be {offered} for {format.name}, not {kbps}")
    bits = bits or next(iter(format.bits), 0)
    return Target(format=format, rate=rate, channels=channels, bits=bits, kbps=kbps or usual)


def unreadable(path: str | Path, reason: str) -> ValueError:
    return ValueError(f"cannot read the sound {path}: {reason}")
