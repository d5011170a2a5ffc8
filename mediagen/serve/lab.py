"""What is done with files, in a process of its own: uploads are decoded within limits and stored anew, results are
written in the other formats that they are asked for in. A file that breaks a decoder breaks no more than that.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import Refused, is_full, storage_full
from .limits import Limits
from .media import Media

PICTURES = ("PNG", "JPEG", "WEBP", "GIF")
DECODING = 60.0  # seconds that one file may take
MOST_BYTES, MOST_VALUES = 500_000_000, 125_000_000  # of all frames, of all samples: 500 MB each


class Lab:
    def __init__(self, media: Media, limits: Limits) -> None:
        self._media, self._limits = media, limits

    def store(self, raw: Path, place: Path, modality: str, param: str) -> None:
        """The bytes in `raw` decoded and written to `place`. Refused if that cannot be done within the limits."""
        try:
            STORING[modality](raw, place, self._limits)
        except Refused:
            raise
        except Exception as error:  # decoders of hostile bytes may raise anything
            if is_full(error):
                raise storage_full("uploads") from error
            why = "it is broken or of an unknown kind"
            if isinstance(error, ValueError):  # the words of our own readers, which name the file first
                why = str(error).replace(str(raw), "the file").rpartition(": ")[2][:200]
            raise Refused(message=f"{param} cannot be read: {why}", code="invalid_file", param=param) from error

    def hole(self, source: str, mask: bool) -> str | None:
        """A picture, or a mask of one -> the name of a mask that is white where it is made anew: where the source is
        transparent. None if it has no transparency."""
        from ..modalities.image import Image

        picture = self._media.load(source)
        if picture.pixels.shape[2] == 3 or picture.pixels[..., 3].min() == 255:
            return source if mask else None
        place = self._media.new(".png")
        try:
            Image((255 - picture.pixels[..., 3:]).repeat(3, 2)).save(place)
        except OSError as error:
            raise storage_full("the mask") from error
        return place.name

    def write(self, place: str, format: str, quality: int | None) -> None:
        """A result in another format, beside it. Refused for one that cannot be written so."""
        from ..modalities.video import Video

        result, path = self._media.load(place), self._media.copy(place, format, quality)
        try:
            if path.suffix == ".gif" and not isinstance(result, Video):
                Video(result.pixels[None, :, :, :3].copy(), 1.0, None, result.metadata).save(path)
            else:
                result.save(path, **({} if quality is None or format not in ("webp", "jpeg") else {"quality": quality}))
        except ValueError as error:
            raise Refused(message=self._media.hidden(str(error))) from error
        except OSError as error:
            raise storage_full("another format of it") from error

    def draw(self, place: str, variant: str) -> None:
        """The thumbnail of a clip, or frames of it side by side with their times."""
        clip, path = self._media.load(place), self._media.still(place, variant)
        try:
            (clip.image(0) if variant == "thumbnail" else clip.sheet()).save(path)
        except OSError as error:
            raise storage_full(f"its {variant}") from error


def picture(raw: Path, place: Path, limits: Limits) -> None:
    from PIL import Image as Pil

    from ..modalities import image

    with Pil.open(raw, formats=PICTURES) as pil:
        _check_sides(pil.size, limits)
        image.Image(image.load(pil).pixels).save(place)


def sound(raw: Path, place: Path, limits: Limits) -> None:
    from ..modalities import audio, audio_files

    stream = audio_files.read(raw)
    _count(stream, limits, lambda block: block.shape[1], MOST_VALUES // stream.channels)
    clip = audio.load(raw)
    audio.Audio(clip.samples, clip.rate).save(place, bits=32)


def film(raw: Path, place: Path, limits: Limits) -> None:
    from ..modalities import audio_files, video, video_files

    stream = video_files.read(raw)
    _check_sides(stream.size, limits)
    _count(stream, limits, len, MOST_BYTES // (stream.size[0] * stream.size[1] * 3))
    if stream.sound is not None:
        heard = audio_files.read(raw)
        _count(heard, limits, lambda block: block.shape[1], MOST_VALUES // heard.channels)
    clip = video.load(raw)
    video.Video(clip.frames, clip.rate, clip.sound and clip.sound.mixed(min(clip.sound.channels, 2))).save(place)


STORING: dict[str, Callable[[Path, Path, Limits], None]] = {"image": picture, "audio": sound, "video": film}


def _check_sides(size: tuple[int, int], limits: Limits) -> None:
    """Asked of the head of a file, before anything of it is unpacked."""
    if size[0] * size[1] > limits.upload_pixels:
        said = f"it has {size[0]}x{size[1]} pixels, at most {limits.upload_pixels} are read"
        raise Refused(message=said, code="file_too_large")


def _count(stream: Any, limits: Limits, length: Callable[[Any], int], most: float = float("inf")) -> None:
    """Read it once to know that it ends: by the time in it, the time that it takes, and what it would fill."""
    until, count, most = time.monotonic() + DECODING, 0, min(most, limits.upload_seconds * stream.rate)
    for block in stream.blocks:
        count += length(block)
        if count > most or time.monotonic() > until:
            said = f"it is longer than {most / stream.rate:g} s, or takes too long to read"
            raise Refused(message=said, code="file_too_large")
