"""WAV and FLAC through soundfile: every sample as it was written. Ogg Vorbis is read so too."""

import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from .audio_formats import FORMATS, Stream, Target, unreadable
from .audio_signal import quantized

if TYPE_CHECKING:
    from soundfile import SoundFile

BLOCK = 1 << 16  # samples that are read at a time
MOST_BYTES = (1 << 32) - (1 << 20)  # RIFF counts the bytes of a file in 32 bits
ENDLESS = 0x7FFF_0000  # sizes from here on were written by a program that did not know them


def write_plain(file: Path | BinaryIO, blocks: Iterator[np.ndarray], to: Target) -> None:
    """Blocks float32 [C, n] in [-1, 1] -> a WAV or FLAC file; ValueError for what it cannot hold or a full disk."""
    import soundfile

    subtype, count = "FLOAT" if to.bits == 32 else f"PCM_{to.bits}", 0
    try:
        with soundfile.SoundFile(file, "w", to.rate, to.channels, subtype, format=to.format.name) as sound:
            if to.metadata is not None and to.format.name == "FLAC":
                sound.comment = to.metadata
            for block in blocks:
                sound.write((block if to.bits == 32 else quantized(block, to.bits)).T)
                count += block.shape[1]
                if to.format.name == "WAV" and count * to.channels * to.bits // 8 > MOST_BYTES:
                    raise ValueError("a WAV file holds at most 4 GiB: save as .flac")
        if isinstance(file, Path):
            _check_end(file, count)
    except (soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that all was written
        reason = getattr(error, "error_string", "the disk is full")
        raise ValueError(f"cannot write {to.format.name} at {to.rate} Hz: {reason}") from error
    if to.metadata is not None and to.format.name == "WAV" and isinstance(file, Path):
        _append_comment(file, to.metadata)


def _check_end(path: Path, count: int) -> None:
    """ValueError if the last sample is not there: libsndfile does not tell if the disk fills while it closes a file."""
    import soundfile

    with soundfile.SoundFile(path) as sound:
        if sound.frames != count or sound.seek(count - 1) != count - 1 or len(sound.read(1)) != 1:
            raise ValueError("cannot write the end of the file: the disk is full")


def flac_bytes(samples: np.ndarray, rate: int) -> bytes:
    """float32 [1 to 8, N] -> a FLAC file of 16 bits in memory."""
    buffer = io.BytesIO()
    write_plain(buffer, iter([samples]), Target(format=FORMATS[".flac"], rate=rate, channels=len(samples), bits=16))
    return buffer.getvalue()


def is_plain(head: bytes) -> bool:
    """Whether the first 36 bytes of a file are those of WAV, FLAC or Ogg Vorbis (of which FFmpeg drops the end)."""
    wave, vorbis = head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE", head[29:35] == b"vorbis"
    return head.startswith(b"fLaC") or wave or (head.startswith(b"OggS") and vorbis)


def read_plain(path: Path) -> Stream:
    """ValueError for a broken file: now if its head is, while the blocks are read if it breaks there."""
    import soundfile

    comment = _riff_comment(path)
    try:
        sound = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise unreadable(path, f"it is broken, or coded in an unknown way ({error.error_string})") from error
    blocks = _blocks(path, sound)
    return Stream(rate=sound.samplerate, channels=sound.channels, metadata=comment or sound.comment, blocks=blocks)


def _blocks(path: Path, sound: "SoundFile") -> Iterator[np.ndarray]:
    import soundfile

    found = 0
    with sound:
        try:
            while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                found += len(block)
                yield np.ascontiguousarray(block.T)
        except soundfile.LibsndfileError as error:
            raise unreadable(path, "it is broken or cut short") from error
        if found < sound.frames < ENDLESS:
            raise unreadable(path, f"it is cut short: {sound.frames} samples are announced, {found} are there")


# ---- the comment of a WAV file: libsndfile would read back no more than 2 kB of it


def _append_comment(path: Path, text: str) -> None:
    """A LIST INFO chunk with an ICMT comment at the end."""
    data = text.encode() + b"\0"
    info = b"INFOICMT" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(b"\0" * (end % 2) + b"LIST" + struct.pack("<I", len(info)) + info)
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))


def _riff_comment(path: Path) -> str | None:
    """ValueError if the samples go on after the end of the file: libsndfile would say nothing."""
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF":
            return None
        for name, start, size in _chunks(file, 12, path.stat().st_size):
            if name == b"data" and start + size > path.stat().st_size and size < ENDLESS:
                raise unreadable(path, f"it is cut short: {size} bytes of samples are announced, not all are there")
            file.seek(start)
            if name == b"LIST" and file.read(4) == b"INFO":
                return _info_comment(file, start + 4, start + size)
    return None


def _info_comment(file: BinaryIO, start: int, end: int) -> str | None:
    for name, at, size in _chunks(file, start, end):
        if name == b"ICMT":
            file.seek(at)
            return file.read(size).rstrip(b"\0").decode(errors="replace")
    return None


def _chunks(file: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, size) of each chunk between two places of a RIFF file."""
    while at + 8 <= end:
        file.seek(at)
        name, size = struct.unpack("<4sI", file.read(8))
        yield name, at + 8, size
        at += 8 + size + size % 2
