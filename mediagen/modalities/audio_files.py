"""Sound files in and out, block by block at constant memory, with the request that made them in their tags."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from .audio_coded import read_coded, write_coded
from .audio_formats import Stream, check_suffix, target, unreadable
from .audio_plain import is_plain, read_plain, write_plain
from .audio_signal import RATES, check_rate, mix, resampled_blocks
from .replacing import replacing

BLOCK = 1 << 16  # samples that are written at a time
MARK = '{"mediagen"'  # a comment that begins so is a request


def write(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    rate: int,
    channels: int,
    *,
    metadata: str | None = None,
    bits: int | None = None,
    kbps: int | None = None,
) -> Path:
    """Blocks float32 [channels, n] in [-1, 1] of one signal -> a file, whole or not at all, at constant memory.

    bits: 16 (the default; rounded, not dithered) or 24, for WAV also 32 (float). kbps: kbit/s of MP3, Opus, AAC and
    M4A. ValueError for an unknown ending, what its format cannot hold, no samples, or a place that cannot be written.
    """
    path, to = Path(path), target(path, rate, channels, metadata, bits, kbps)
    with replacing(path) as temporary:
        (write_coded if to.format.codec else write_plain)(temporary, pieces(blocks), to)
    return path


def pieces(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The blocks in pieces of at most BLOCK; ValueError if there is no sample in them."""
    empty = True
    for block in blocks:
        for start in range(0, block.shape[1], BLOCK):
            empty = False
            yield block[:, start : start + BLOCK]
    if empty:
        raise ValueError("there are no samples to write")


def read(path: str | Path, *, rate: int | None = None, channels: int | None = None) -> Stream:
    """Open a sound file, whatever its ending, at its own rate and channels or at those asked for.

    ValueError for a file that is missing, empty, broken or no sound: if its head does not tell, when its blocks do.
    """
    path = Path(path)
    stream = _opened(path)
    if not RATES[0] <= stream.rate <= RATES[1]:
        raise unreadable(path, f"its rate of {stream.rate} Hz is not from {RATES[0]} to {RATES[1]}")
    have, want, new = stream.channels, channels or stream.channels, rate or stream.rate
    check_rate(new)
    mix(np.zeros((have, 0), np.float32), want)  # what cannot be mixed is refused now, not at the first block
    mixed = (mix(block, want) for block in _sane(path, stream))
    metadata = stream.metadata if (stream.metadata or "").startswith(MARK) else None
    return Stream(rate=new, channels=want, metadata=metadata, blocks=resampled_blocks(mixed, stream.rate, new))


def _opened(path: Path) -> Stream:
    try:
        with open(path, "rb") as file:
            head = file.read(36)
        if not head:
            raise unreadable(path, "the file is empty")
        return read_plain(path) if is_plain(head) else read_coded(path)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def _sane(path: Path, stream: Stream) -> Iterator[np.ndarray]:
    """The blocks in [-1, 1]; ValueError for no samples, values that are no numbers, or channels that change midway."""
    empty = True
    for block in stream.blocks:
        if block.shape[0] != stream.channels:
            raise unreadable(path, f"its channels change from {stream.channels} to {block.shape[0]}")
        if not np.isfinite(block).all():
            raise unreadable(path, "some of its samples are no finite numbers")
        empty = False
        yield np.clip(block, -1, 1)
    if empty:
        raise unreadable(path, "there are no samples in it")


__all__ = ["check_suffix", "read", "replacing", "write"]
