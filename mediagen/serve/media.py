"""The media folder: results and uploads under names that are ours alone, and the other formats they are asked for in.

What is stored is lossless and carries its request: PNG, FLAC, Matroska with FFV1. Another format is written when it is
first asked for, and kept beside it.
"""

import io
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from .errors import Refused
from .records import Record

STORED = {"image": ".png", "audio": ".flac", "video": ".mkv"}
GIVEN = {"image": ".png", "audio": ".wav", "video": ".mkv"}  # what is given may have more than 16 bits of sound
MODALITY = {".png": "image", ".flac": "audio", ".wav": "audio", ".mkv": "video", ".jsonl": "batch"}
FORMATS = {
    "image": ("png", "webp", "jpeg", "gif"),
    "audio": ("wav", "flac", "mp3", "opus", "aac", "m4a"),
    "video": ("mp4", "webm", "gif", "webp", "mkv"),
}
TYPES = {
    "png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg", "gif": "image/gif", "wav": "audio/wav",
    "flac": "audio/flac", "mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "m4a": "audio/mp4",
    "jsonl": "application/jsonl", "mp4": "video/mp4", "webm": "video/webm", "mkv": "video/x-matroska",
}  # fmt: skip
STILLS = {"thumbnail": "first.webp", "spritesheet": "sheet.jpeg"}
UPLOAD = "given-"
UNFINISHED = ".*.partial"  # what `modalities.replacing` writes into before it renames


class Media:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(UNFINISHED):  # of a server that was killed
            left.unlink(missing_ok=True)

    def new(self, suffix: str) -> Path:
        """A place that no request can name or foresee."""
        return self.folder / f"{UPLOAD}{secrets.token_hex(16)}{suffix}"

    def is_given(self, place: str) -> bool:
        """Whether it is an upload, and no result."""
        return place.startswith(UPLOAD)

    def given(self) -> list[str]:
        """All the uploads."""
        return [path.name for path in self.folder.glob(f"{UPLOAD}*") if path.suffix in MODALITY]

    def save(self, record: Record, number: int, result: Any) -> str:
        """Result `number` of a job, whole or not at all; the same job writes it to the same place again."""
        name = f"{record.id}-{number}{STORED[record.modality]}"
        result.save(self.folder / name)
        return name

    def load(self, place: str) -> Any:
        """What lies there. It knows its name here and not the folder: its request tells the name to everyone."""
        from ..modalities import audio, image, video

        room = {"image": image, "audio": audio, "video": video}[MODALITY[Path(place).suffix]]
        return replace(room.load(self.folder / place), path=place)

    def copy(self, place: str, format: str, quality: int | None = None) -> Path:
        """Where the file lies in this format, or would; quality 1..100 of a WebP or JPEG."""
        stored = self.folder / place
        if stored.suffix == f".{format}":
            return stored
        quality = quality if format in ("webp", "jpeg") else None
        return stored.with_name(f"{stored.name}.{quality or 0}.{format}")

    def still(self, place: str, variant: str) -> Path:
        """Where the thumbnail of a clip, its first frame, lies or would, or its spritesheet."""
        return self.folder / f"{place}.{STILLS[variant]}"

    def hidden(self, text: str) -> str:
        """What is told without the folder that things lie in, which is nobody's business."""
        return text.replace(f"{self.folder}/", "")

    def remove(self, place: str) -> None:
        """A file and all that was made of it."""
        for path in (self.folder / place, *self.folder.glob(f"{place}.*")):
            path.unlink(missing_ok=True)


def check_format(modality: str, format: str, param: str) -> str:
    if format not in FORMATS[modality]:
        said = f"{param} must be one of {', '.join(FORMATS[modality])}, not {format[:40]!r}"
        raise Refused(message=said, param=param)
    return format


def picture_of(pixels: Any, size: tuple[int, ...], format: str = "png") -> bytes:
    """A preview, uint8 [3, H, W], as a file of a picture; as large as the picture will be if its size is known."""
    from PIL import Image as Pil

    small = Pil.fromarray(pixels.transpose(1, 2, 0))
    shown = small.resize(size, Pil.Resampling.BICUBIC) if size else small
    buffer = io.BytesIO()
    shown.save(buffer, {"png": "PNG", "webp": "WEBP", "jpeg": "JPEG", "gif": "GIF"}[format])
    return buffer.getvalue()
