"""MP3, Opus, AAC and M4A through PyAV; read besides: the sound of anything that FFmpeg takes apart, films among it."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from .audio_formats import Format, Stream, Target, unreadable
from .audio_signal import resampled_blocks

if TYPE_CHECKING:
    from av import AudioFrame

# What may be opened: sound in these containers, and no playlist that could reach for other files or the network.
CONTAINERS = "mp3,ogg,aac,mov,matroska,flac,wav,w64,aiff,caf,au,asf,ac3,eac3,amr,ape,wv,tta,dsf,mpeg,mpegts,avi,flv"
GAPLESS = "iTunSMPB"  # the tag in which players look for the encoder's delay and the true length of AAC
AAC_DELAY = AAC_FRAME = 1024  # samples that FFmpeg's encoder puts before the first; samples that it codes together


def write_coded(path: Path, blocks: Iterator[np.ndarray], to: Target) -> None:
    """Blocks float32 [C, n] in [-1, 1] -> a file at the nearest rate of its format; ValueError if PyAV cannot."""
    import av

    options = {"adts": {"write_id3v2": "1"}, "ipod": {"movie_timescale": str(to.format.rate(to.rate))}}
    tags = {} if to.metadata is None else {"comment": to.metadata}
    if to.format.muxer == "adts":
        tags[GAPLESS] = _gapless(0)
    try:
        with av.open(str(path), "w", format=to.format.muxer, options=options.get(to.format.muxer, {})) as container:
            container.metadata.update(tags)
            count = _encode(container, blocks, to)
    except av.FFmpegError as error:
        raise ValueError(f"cannot write {to.format.name} at {to.kbps} kbit/s: {error.strerror}") from error
    if to.format.muxer == "adts":
        _correct(path, _gapless(0), _gapless(count))


def _encode(container: Any, blocks: Iterator[np.ndarray], to: Target) -> int:
    """All blocks into the container; the number of samples at the file's rate."""
    stream, total = add_sound(container, to), 0
    for count, packets in encoded(stream, blocks, to):
        container.mux(packets)
        total = count
    return total


def add_sound(container: Any, to: Target) -> Any:
    """A stream of sound in a container that is being written."""
    stream = container.add_stream(to.format.codec, rate=to.format.rate(to.rate), layout=_layout(to.channels))
    stream.bit_rate, stream.codec_context.format = to.kbps * 1000, to.format.sample
    return stream


def encoded(stream: Any, blocks: Iterator[np.ndarray], to: Target) -> Iterator[tuple[int, Any]]:
    """The packets of each block, and how many samples at the file's rate went in up to it; at last those held back."""
    rate, count = to.format.rate(to.rate), 0
    for block in resampled_blocks(blocks, to.rate, rate):
        if block.shape[1]:
            packets = stream.encode(_frame(block, to.format, rate, count))
            count += block.shape[1]
            yield count, packets
    yield count, stream.encode(None)


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}[channels]


def _frame(block: np.ndarray, format: Format, rate: int, start: int) -> "AudioFrame":
    from av import AudioFrame

    data = block if format.sample.endswith("p") else block.T.reshape(1, -1)
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(data), format=format.sample, layout=_layout(block.shape[0]))
    frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
    return frame


def _gapless(count: int) -> str:
    """The text of the tag, in hexadecimal: nothing, delay, padding, true length, and eight times nothing."""
    padding = -(AAC_DELAY + count) % AAC_FRAME
    return f" 00000000 {AAC_DELAY:08X} {padding:08X} {count:016X}" + " 00000000" * 8


def _correct(path: Path, wrong: str, right: str) -> None:
    """Fill in a tag of equal length that was written before its value was known."""
    with open(path, "r+b") as file:
        at = file.read(1 << 24).index(wrong.encode())
        file.seek(at)
        file.write(right.encode())


def read_coded(path: Path) -> Stream:
    """ValueError for what holds no sound: now if its head tells, while the blocks are read if it breaks there."""
    import av

    file = open(path, "rb")  # noqa: SIM115 (the blocks close it)
    try:
        container = av.open(file, metadata_errors="replace", options={"format_whitelist": CONTAINERS})
        if not container.streams.audio:
            raise unreadable(path, "there is no sound in it")
        stream = container.streams.audio[0]
        tags = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.layout.nb_channels
        if not rate or not channels:
            raise unreadable(path, "not a sound file, or one of an unknown kind")
        blocks = _between(_blocks(path, file, container, stream), *_true_range(container, stream, tags))
    except av.FFmpegError as error:
        file.close()
        raise unreadable(path, f"not a sound file, or one of an unknown kind ({error.strerror})") from error
    except BaseException:
        file.close()
        raise
    return Stream(rate=rate, channels=channels, metadata=tags.get("comment"), blocks=blocks)


def _true_range(container: Any, stream: Any, tags: dict[str, str]) -> tuple[int, int | None]:
    """First and last + 1 of the decoded samples that belong to the sound. FFmpeg itself drops the delay and padding of
    MP3 and Opus, and the delay in MP4. In MP4 the sound ends where its edit list does, if the whole table of frames
    lies in its head; bare AAC has the tag alone."""
    parts = tags.get(GAPLESS.lower(), "").split()
    if container.format.name == "aac" and len(parts) >= 4:
        delay, count = int(parts[1], 16), int(parts[3], 16)
        return delay, delay + count
    if "mp4" in container.format.name and stream.frames and stream.duration:
        return 0, round(stream.duration * stream.time_base * stream.codec_context.sample_rate)
    return 0, None


def _blocks(path: Path, file: BinaryIO, container: Any, stream: Any) -> Iterator[np.ndarray]:
    from av import AudioResampler, FFmpegError

    with file, container:
        planar = AudioResampler(format="fltp")
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise ValueError("it is broken or cut short")
                for frame in chain.from_iterable(map(planar.resample, packet.decode())):
                    yield frame.to_ndarray()
        except FFmpegError as error:
            raise unreadable(path, f"it is broken ({error.strerror})") from error
        except ValueError as error:
            raise unreadable(path, str(error)) from error


def _between(blocks: Iterator[np.ndarray], begin: int, end: int | None) -> Iterator[np.ndarray]:
    at = 0
    for block in blocks:
        piece = block[:, max(begin - at, 0) : None if end is None else max(end - at, 0)]
        at += block.shape[1]
        if piece.shape[1]:
            yield piece
