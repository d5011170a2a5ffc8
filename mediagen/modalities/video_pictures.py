"""GIF, animated WebP and APNG through Pillow: pictures with a time each, held in memory while they are written."""

import struct
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .image import MOST_PIXELS, flat, metadata_of, options_of
from .video_formats import MOST_VALUES, Source, Target, unreadable

if TYPE_CHECKING:
    from PIL import Image as Pil

UNITS = {"GIF": Fraction(1, 100), "WEBP": Fraction(1, 1000), "PNG": Fraction(1, 1000)}  # seconds that times count in
COLOURS = 256  # of a GIF
SAMPLED = 40_000  # pixels that its palette is taken from
USUAL = 0.1  # seconds that browsers show a frame for whose time is 10 ms or less
BROKEN = (
    OSError,
    SyntaxError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    struct.error,
)  # what Pillow raises of a file
# Frames a second that are looked for in times: whole numbers, those of television, halves
PLAUSIBLE = (
    *map(Fraction, range(1, 101)),
    *(Fraction(1000 * rate, 1001) for rate in (24, 30, 60)),
    *(Fraction(2 * k + 1, 2) for k in range(50)),
)


def is_pictures(head: bytes) -> bool:
    """Whether the first 12 bytes of a file are those of GIF, WebP or PNG."""
    return head[:4] == b"GIF8" or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[:8] == b"\x89PNG\r\n\x1a\n"


def write_pictures(path: Path, frames: Iterator[np.ndarray], to: Target) -> None:
    """Frames uint8 [H, W, 3] -> a file that repeats for ever; ValueError for more than 2 GB of them, or for what Pillow
    cannot write."""
    from PIL import Image as Pil

    kind = {"APNG": "PNG"}.get(to.format.name, to.format.name.upper())
    pictures = [Pil.fromarray(frame) for frame in _counted(frames, to)]
    options = _options(kind, to)
    if kind == "GIF":
        pictures = _with_palette(pictures)
    first, *others = pictures
    times: dict[str, Any] = {"duration": _durations(len(pictures), to.rate, UNITS[kind]), "loop": 0}
    try:
        first.save(path, kind, save_all=True, append_images=others, **times, **options)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # a full disk and the like
            raise
        raise ValueError(f"cannot write {to.format.name} of {to.size[0]}x{to.size[1]} pixels: {error}") from error
    if kind != "GIF" and len(pictures) > 1:
        with Pil.open(path) as written:
            if getattr(written, "n_frames", 1) == 1:
                name = to.format.name
                raise ValueError(
                    f"{name} cannot hold {len(pictures)} frames that are all the same: save as .gif or .mp4"
                )


def _counted(frames: Iterator[np.ndarray], to: Target) -> Iterator[np.ndarray]:
    values = 0
    for frame in frames:
        values += frame.size
        if values > MOST_VALUES:
            raise ValueError(
                f"{to.format.name} is for short clips: these frames are over {MOST_VALUES} bytes; save as .mp4"
            )
        yield frame


def _options(kind: str, to: Target) -> dict[str, Any]:
    """What Pillow needs to write a format with the metadata."""
    if kind == "GIF":
        return {} if to.metadata is None else {"comment": to.metadata.encode()}
    if kind == "PNG":
        return options_of(kind, to.metadata)
    return options_of(kind, to.metadata, quality=to.quality, lossless=to.quality == 100) | {"method": 4}


def _durations(count: int, rate: Fraction, unit: Fraction) -> list[int]:
    """Milliseconds of each frame: its end lies at the multiple of the format's unit that is nearest to the true one."""
    ends = [round(number / rate / unit) for number in range(count + 1)]
    return [int((b - a) * unit * 1000) for a, b in pairwise(ends)]


def _with_palette(pictures: list["Pil.Image"]) -> list["Pil.Image"]:
    """One palette for all frames, so that what stands still does not flicker, and no dither, which would crawl: the
    colours themselves if they are 256 or fewer, else 256 that stand for those everywhere in the clip."""
    from PIL import Image as Pil

    palette = Pil.new("P", (1, 1))
    palette.putpalette(_colours(pictures).tobytes())
    return [picture.quantize(palette=palette, dither=Pil.Dither.NONE) for picture in pictures]


def _colours(pictures: list["Pil.Image"]) -> np.ndarray:
    """uint8 [up to 256, 3]"""
    from PIL import Image as Pil

    found: set[tuple[int, ...]] = set()
    for picture in pictures:
        seen = picture.getcolors(COLOURS)
        found |= {colour for _, colour in seen} if seen else set()
        if seen is None or len(found) > COLOURS:
            break
    else:
        return np.array(sorted(found), np.uint8)
    each = -(-SAMPLED // len(pictures))
    pixels = np.concatenate([_spread(np.asarray(picture).reshape(-1, 3), each) for picture in pictures])
    together = Pil.fromarray(pixels[:, None])
    palette = together.quantize(COLOURS, method=Pil.Quantize.MAXCOVERAGE, kmeans=1).getpalette() or []
    return np.array(palette, np.uint8).reshape(-1, 3)


def _spread(pixels: np.ndarray, count: int) -> np.ndarray:
    """So many of them, evenly spread, or all if there are fewer."""
    return pixels[np.linspace(0, len(pixels) - 1, min(count, len(pixels))).astype(int)]


def read_pictures(path: Path) -> Source:
    """ValueError for a broken file or a picture that does not move."""
    from PIL import Image as Pil

    try:
        with Pil.open(path) as pil:
            size, kind, metadata = pil.size, str(pil.format), _metadata(pil)
            if pil.width * pil.height > MOST_PIXELS:
                raise unreadable(
                    path, f"its frames have {pil.width}x{pil.height} pixels; at most {MOST_PIXELS} are read"
                )
            seconds = [time for time, _ in _shown(pil)]
    except (*BROKEN, Pil.DecompressionBombError) as error:
        if isinstance(error, ValueError) and str(error).startswith("cannot read the video"):
            raise
        raise unreadable(path, "not a video file, or a broken one") from error
    if len(seconds) == 1 and not seconds[0]:
        raise unreadable(path, "it is a picture that does not move")
    times = [time if time > 0.010 else USUAL for time in seconds]
    rate = _rate(times, UNITS.get(kind, UNITS["PNG"]))
    ends = [round(end * rate) / rate if rate else end for end in accumulate(times)]
    frames = _frames(path, [0.0, *map(float, ends)])
    exact = rate or Fraction(len(times)) / Fraction(sum(times)).limit_denominator(1000)
    return Source(size=size, rate=exact, seconds=float(ends[-1]), metadata=metadata, sound=None, frames=frames)


def _metadata(pil: "Pil.Image") -> str | None:
    comment = pil.info.get("comment")
    return comment.decode(errors="replace") if isinstance(comment, bytes) else metadata_of(pil)


def _rate(times: list[float], unit: Fraction) -> Fraction | None:
    """The rate whose times, rounded to units, are these: one that gives as many frames or, as equal neighbours are kept
    as one, one that gives more. None if there is none."""
    ends = np.cumsum(times)
    mean = Fraction(len(times)) / Fraction(float(ends[-1])).limit_denominator(1000)
    fitting = [rate for rate in (*PLAUSIBLE, mean) if _misses(ends, float(rate)) <= float(unit) * 0.501]
    return min(fitting, key=lambda rate: round(ends[-1] * rate) != len(times), default=None)


def _misses(ends: np.ndarray, rate: float) -> float:
    """Seconds by which the times miss those of an even rate at most."""
    return float(np.abs(np.round(ends * rate) / rate - ends).max())


def _frames(path: Path, begins: list[float]) -> Iterator[tuple[float, float, np.ndarray]]:
    from PIL import Image as Pil

    try:
        with closing(Pil.open(path)) as pil:
            for (begin, end), (_, frame) in zip(pairwise(begins), _shown(pil), strict=True):
                yield begin, end - begin, np.array(flat(frame))
    except BROKEN as error:
        raise unreadable(path, "it is broken or cut short") from error


def _shown(pil: "Pil.Image") -> Iterator[tuple[float, "Pil.Image"]]:
    """(seconds, picture) of each frame; the still that a PNG has for those who cannot see it move is left out."""
    start = 1 if getattr(pil, "default_image", False) else 0
    for number in range(start, getattr(pil, "n_frames", 1)):
        pil.seek(number)
        pil.load()  # WebP tells its time only then
        clear = pil.mode in ("RGBA", "LA", "PA") or "transparency" in pil.info
        yield pil.info.get("duration", 0) / 1000, pil.convert("RGBA" if clear else "RGB")
