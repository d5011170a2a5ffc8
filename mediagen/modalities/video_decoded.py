"""Any video that FFmpeg's libraries decode, through PyAV: turned and stretched as its file says."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from .video_coded import BT709, READING, cropped
from .video_formats import RATES, SoundFacts, Source, unreadable
from .video_frames import opaque

if TYPE_CHECKING:
    from av import VideoFrame

# What may be opened: films in these containers, and no playlist that could reach for other files or the network.
CONTAINERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,ogg,asf,flv,ivf,h264,hevc,obu,nut,m4v,mxf,dv,yuv4mpegpipe,rm,wtv"
BT601 = 5  # FFmpeg's scaler's number
UNKNOWN = 2  # its number of a matrix that nobody named
DEFAULT = 25  # frames a second for the last frame of a file that tells neither its length nor a rate
TOGETHER = 0.005  # seconds: sound that begins so near to the first frame begins with it
PADDED_AS = re.compile(r"(\d+)x(\d+) pixels; the last column or row is repeated")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How frames become pictures. stored: (width, height) with square pixels; turn: whether rows and columns change
    places, then the steps along columns and along rows, 1 or -1; size: what is left of that, (width, height)."""

    stored: tuple[int, int]
    turn: tuple[bool, int, int]
    size: tuple[int, int]


def read_coded(path: Path) -> Source:
    """ValueError for what holds no moving picture: now if its head tells, else while frames are read."""
    import av

    file = open(path, "rb")  # noqa: SIM115 (the frames close it)
    try:
        container = av.open(file, "r", metadata_errors="replace", options={"format_whitelist": CONTAINERS})
        stream = _film(path, container)
        tags = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
        rate, seconds = stream.average_rate or stream.guessed_rate, _seconds(container, stream, tags)
        rate = rate if rate and RATES[0] <= rate <= RATES[1] else None
        frames = _frames(path, file, container, stream)
        first = next(frames, None)
        if first is None:
            raise unreadable(path, "there are no frames in it")
        sound = _sound(path, first.time or 0.0) if container.streams.audio else None
        shape = _shape(first, stream, tags)
        shown = _timed(path, chain([first], frames), shape, rate, seconds)
    except av.FFmpegError as error:
        file.close()
        raise unreadable(path, f"not a video file, or one of an unknown kind ({error.strerror})") from error
    except BaseException:
        file.close()
        raise
    facts = {"rate": rate, "seconds": seconds, "metadata": tags.get("comment"), "sound": sound}
    return Source(size=shape.size, frames=shown, **facts)


def _film(path: Path, container: Any) -> Any:
    """The stream of pictures, which is not that of a cover."""
    from av.stream import Disposition

    films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not films:
        raise unreadable(path, "there is no moving picture in it")
    films[0].thread_type = "AUTO"
    return films[0]


def _seconds(container: Any, stream: Any, tags: dict[str, str]) -> float | None:
    """How long the picture is, if the head tells: MP4 and AVI in the stream, Matroska when it ends, in a tag of it."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    begin = float((stream.start_time or 0) * stream.time_base) if "matroska" in container.format.name else 0.0
    with suppress(ValueError):
        hours, minutes, seconds = map(float, tags.get("duration", "").split(":"))
        return hours * 3600 + minutes * 60 + seconds - begin
    alone = len(container.streams) == 1 and container.duration
    return container.duration / 1_000_000 - begin if alone else None


def _sound(path: Path, film: float) -> SoundFacts | None:
    """film: when the first frame is shown. The time of a decoded block is that of its first sample to be heard. None
    for a stream without any; one that cannot be decoded is refused by who wants to hear it."""
    import av

    first = None
    with open(path, "rb") as file, av.open(file, "r", metadata_errors="replace") as container:
        stream = container.streams.audio[0]
        facts = {"rate": stream.codec_context.sample_rate, "channels": stream.codec_context.layout.nb_channels}
        with suppress(av.FFmpegError):
            first = next(container.decode(stream), None)
            if first is None:
                return None
    begin = 0.0 if first is None or first.time is None else first.time - film
    return SoundFacts(begin=0.0 if abs(begin) < TOGETHER else begin, **facts)


def _frames(path: Path, file: BinaryIO, container: Any, stream: Any) -> Iterator["VideoFrame"]:
    from av import FFmpegError

    with file, container:
        try:
            for packet in container.demux(stream):
                for frame in packet.decode():
                    if packet.is_corrupt or frame.is_corrupt:
                        raise unreadable(path, "it is broken or cut short")
                    yield frame
        except FFmpegError as error:
            raise unreadable(path, f"it is broken ({error.strerror})") from error


def _timed(
    path: Path, frames: Iterator["VideoFrame"], shape: Shape, rate: Fraction | None, seconds: float | None
) -> Iterator[tuple[float, float, np.ndarray]]:
    """Frames with their times; ValueError at the end if they end long before the head says."""
    usual = float(1 / (rate or DEFAULT))
    zero = begin = end = None
    for frame in frames:
        time = frame.time
        zero = time if zero is None else zero
        begin = (0.0 if end is None else end) if time is None else max(time - (zero or 0.0), begin or 0.0)
        shown = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else usual
        end = begin + shown
        yield begin, shown, _picture(frame, shape)
    if seconds is not None and end is not None and end < seconds - max(1.5 * usual, seconds / 50):
        raise unreadable(path, f"it is cut short: {seconds:.2f} s are announced, {end:.2f} s are there")


def _shape(first: "VideoFrame", stream: Any, tags: dict[str, str]) -> Shape:
    """All frames take the shape of the first, as players show them."""
    stretch = float(stream.sample_aspect_ratio or 1)
    stored, turn = (max(round(first.width * stretch), 1), first.height), _turn(first)
    size = stored[::-1] if turn[0] else stored
    padded = PADDED_AS.match(tags.get("description", ""))
    told = (int(padded[1]), int(padded[2])) if padded else size
    ours = all(0 <= have - true <= 1 for have, true in zip(size, told, strict=True))
    return Shape(stored=stored, turn=turn, size=told if ours else size)


def _picture(frame: "VideoFrame", shape: Shape) -> np.ndarray:
    """uint8 [H, W, 3]"""
    transposed, columns, rows = shape.turn
    pixels = _pixels(frame, *shape.stored)
    pixels = pixels.transpose(1, 0, 2) if transposed else pixels
    return np.ascontiguousarray(pixels[::rows, ::columns][: shape.size[1], : shape.size[0]])


def _pixels(frame: "VideoFrame", width: int, height: int) -> np.ndarray:
    colour: dict[str, Any] = {"interpolation": READING}
    if frame.colorspace == UNKNOWN:  # what players take for granted
        colour["src_colorspace"] = BT709 if frame.height > 576 or frame.width > 1024 else BT601
    if any(component.is_alpha for component in frame.format.components):
        return opaque(frame.to_ndarray(format="rgba", width=width, height=height, **colour))
    if frame.format.name == "yuv420p" and (frame.width, frame.height) == (width, height):
        frame = cropped(frame, width + width % 2, height + height % 2)
        return frame.to_ndarray(format="rgb24", **colour)[:height, :width]
    return frame.to_ndarray(format="rgb24", width=width, height=height, **colour)


def _turn(frame: "VideoFrame") -> tuple[bool, int, int]:
    """How a film is turned or mirrored by its display matrix, in quarters: x' = a x + c y, y' = b x + d y."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, 1, 1
    (a, b, _), (c, d, _) = np.frombuffer(data, np.int32).reshape(3, 3)[:2]
    transposed = bool(abs(int(b)) > abs(int(a)))
    across, down = (c, b) if transposed else (a, d)
    return transposed, -1 if across < 0 else 1, -1 if down < 0 else 1
