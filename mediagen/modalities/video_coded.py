"""MP4 (H.264), WebM (VP9) and MKV (FFV1) through PyAV, with their sound, frame by frame at constant memory."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .audio_coded import add_sound, encoded
from .audio_files import pieces
from .video_formats import Target

if TYPE_CHECKING:
    from av import VideoFrame

PIECE = 4096  # samples of sound that are written at a time, between frames
BT709, LIMITED = 1, 1  # FFmpeg's numbers: the matrix, the primaries and the curve of BT.709; levels 16 to 235
# How its scaler goes between full and halved colour: area means when writing, bicubic when reading (2 to 4 dB closer to
# the clip than its default), rounded well, with colour at every pixel
ACCURATE = 0x40000 | 0x4000 | 0x2000
WRITING, READING = 0x20 | ACCURATE, 0x4 | ACCURATE
PADDED = "{width}x{height} pixels; the last column or row is repeated to make the sides even"


def write_coded(path: Path, frames: Iterator[np.ndarray], to: Target) -> None:
    """Frames uint8 [H, W, 3] and the sound of `to` -> a file; ValueError if PyAV cannot."""
    import av

    try:
        with av.open(str(path), "w", format=to.format.muxer, options=_muxing(to)) as container:
            container.metadata.update(_tags(to))
            _mux(container, frames, to)
    except av.FFmpegError as error:
        facts = f"{to.size[0]}x{to.size[1]} pixels at {float(to.rate):g} frames a second"
        raise ValueError(f"cannot write {to.format.name} of {facts}: {error.strerror}") from error


def _muxing(to: Target) -> dict[str, str]:
    """MP4 tells where its sound ends in units of its own: samples, so that it ends at the last."""
    exact = to.format.muxer == "mp4" and to.sound_to is not None
    units = {"movie_timescale": str(to.sound_to.format.rate(to.sound_to.rate))} if exact else {}
    return dict(to.format.muxing) | units


def _tags(to: Target) -> dict[str, str]:
    tags = {} if to.metadata is None else {"comment": to.metadata}
    if _padding(to) != (0, 0):
        tags["description"] = PADDED.format(width=to.size[0], height=to.size[1])
    return tags


def _padding(to: Target) -> tuple[int, int]:
    """Columns and rows to add: H.264 with halved colour counts pixels, and what it cuts off, in pairs."""
    width, height = to.size
    return (width % 2, height % 2) if to.format.even else (0, 0)


def _mux(container: Any, frames: Iterator[np.ndarray], to: Target) -> None:
    """Frames and sound side by side, so that neither waits for the other in memory."""
    stream, sound, heard = _add_picture(container, to), _sound(container, to), 0.0
    for number, frame in enumerate(frames):
        container.mux(stream.encode(_frame(frame, number, to)))
        while heard * to.rate <= number + 1:
            heard, packets = next(sound, (math.inf, ()))
            container.mux(packets)
    container.mux(stream.encode(None))
    for _, packets in sound:
        container.mux(packets)


def _add_picture(container: Any, to: Target) -> Any:
    coding = dict(to.format.coding) | ({"crf": str(to.quality)} if to.format.crf[2] else {})
    stream = container.add_stream(to.format.codec, rate=to.rate, options=coding)
    columns, rows = _padding(to)
    stream.width, stream.height, stream.pix_fmt = to.size[0] + columns, to.size[1] + rows, to.format.pixels
    if to.format.pixels == "yuv420p":
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
    return stream


def _sound(container: Any, to: Target) -> Iterator[tuple[float, Any]]:
    """(seconds of sound so far, packets). The stream is there when this returns: a file's head names all of them."""
    if to.sound is None or to.sound_to is None:
        return iter(())
    stream, rate = add_sound(container, to.sound_to), to.sound_to.format.rate(to.sound_to.rate)
    blocks = (block[:, at : at + PIECE] for block in pieces(to.sound.blocks) for at in range(0, block.shape[1], PIECE))
    return ((count / rate, packets) for count, packets in encoded(stream, blocks, to.sound_to))


def _frame(pixels: np.ndarray, number: int, to: Target) -> "VideoFrame":
    from av import VideoFrame

    halved = to.format.pixels == "yuv420p"
    height, width = pixels.shape[:2]
    if halved and (height % 2 or width % 2):
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    colour = {"dst_colorspace": BT709, "dst_color_range": LIMITED} if halved else {}
    frame = frame.reformat(format=to.format.pixels, interpolation=WRITING, **colour)
    if halved and not to.format.even:
        frame = cropped(frame, width, height)
    frame.pts, frame.time_base = number, 1 / to.rate
    return frame


def cropped(frame: "VideoFrame", width: int, height: int) -> "VideoFrame":
    """A frame of planes of 8 bits cut at the right and bottom, or enlarged by repeating what is there.

    FFmpeg's scaler stretches halved colour a little where a side is odd, so such frames are converted at an even size.
    """
    from av import VideoFrame

    if (frame.width, frame.height) == (width, height):
        return frame
    new = VideoFrame(width, height, frame.format.name)
    new.colorspace, new.color_range = frame.colorspace, frame.color_range
    for old, plane in zip(frame.planes, new.planes, strict=True):
        pixels = np.frombuffer(old, np.uint8).reshape(old.height, old.line_size)[: plane.height, : old.width]
        missing = (plane.height - pixels.shape[0], plane.line_size - pixels.shape[1])
        plane.update(np.pad(pixels, [(0, max(m, 0)) for m in missing], "edge")[:, : plane.line_size].tobytes())
    return new
