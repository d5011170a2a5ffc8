"""Images: PNG, JPEG and WebP in and out, with the request that made them in their metadata."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .replacing import replacing

if TYPE_CHECKING:
    from PIL import Image as Pil

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MOST_PIXELS = 64_000_000  # larger files are refused before they are decoded
KEYWORD = "mediagen"  # of the PNG text chunk
USER_COMMENT, EXIF_IFD, SOFTWARE = 0x9286, 0x8769, 0x0131  # EXIF tags (JEITA CP-3451)
UNICODE = b"UNICODE\0"  # the character code that opens an EXIF user comment


@dataclass(frozen=True, eq=False)
class Image:
    """A picture. pixels: uint8 [H, W, 3], or [H, W, 4] with alpha; metadata: the JSON text of the request that made it;
    path: the file it was read from."""

    pixels: np.ndarray
    metadata: str | None = None
    path: str | None = None

    @classmethod
    def from_tensor(cls, x: Tensor, metadata: str | None = None) -> "Image":
        """x [3 or 4, H, W] in [-1, 1]; what lies outside is clamped."""
        levels = (x.detach().float().clamp(-1, 1) + 1) * 127.5
        return cls(levels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy(), metadata)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def sha256(self) -> str:
        """A hash of the pixels, whatever the file that they lie in."""
        return sha256(self.pixels.tobytes()).hexdigest()

    def numpy(self) -> np.ndarray:
        """uint8 [H, W, 3 or 4]"""
        return self.pixels

    def tensor(self) -> Tensor:
        """float32 [3, H, W] in 0..1; transparency is laid on white."""
        return torch.from_numpy(np.array(flat(self.pil()))).permute(2, 0, 1).float() / 255

    def pil(self) -> "Pil.Image":
        from PIL import Image as Pil

        return Pil.fromarray(self.pixels)

    def save(self, path: str | Path, *, quality: int = 95, lossless: bool = False) -> Path:
        """Write PNG, JPEG or WebP by the ending, whole or not at all, with the metadata in it.

        quality: 1..100 for JPEG and WebP; lossless: WebP only. ValueError for an unknown ending, a bad quality,
        alpha in a JPEG, or a place that cannot be written.
        """
        path = Path(path)
        format = check_suffix(path)
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must be from 1 to 100, not {quality}")
        if format == "JPEG" and self.pixels.shape[2] == 4:
            raise ValueError(
                f"{path}: JPEG has no transparency; save as .png or .webp, or drop the alpha channel first"
            )
        write(path, self._encoded(format, quality=quality, lossless=lossless))
        return path

    def _encoded(self, format: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        self.pil().save(buffer, format, **options_of(format, self.metadata, **options))
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        """Notebooks show the picture itself."""
        return self._encoded("PNG")


def check_suffix(path: str | Path) -> str:
    """The format that a file's ending names; ValueError for an unknown one."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise ValueError(f"{path}: unknown ending {ending!r}; a picture is saved as {', '.join(FORMATS)}")
    return FORMATS[ending]


def write(path: Path, content: bytes) -> None:
    """Bytes into a file, by way of a temporary file beside it and a rename. ValueError if that cannot be done."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load(picture: Any) -> Image:
    """A path, PIL picture, uint8 array [H, W, 3 or 4], or Image -> Image; EXIF orientation is followed.

    ValueError for a file that is missing, broken, too large, or no picture.
    """
    from PIL import Image as Pil

    if isinstance(picture, Image):
        return picture
    if isinstance(picture, Pil.Image):
        return _from_pil(picture)
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if isinstance(picture, (str, Path)):
        return _read(Path(picture))
    raise ValueError(f"a picture must be a path, a PIL picture, an array or an Image, not {type(picture).__name__}")


def fitted(picture: Image, size: tuple[int, int]) -> Tensor:
    """Scaled to fill (width, height) and cut at the middle: [3, H, W] in [-1, 1]. Equal sizes stay untouched."""
    from PIL import Image as Pil
    from PIL import ImageOps

    pil = flat(picture.pil())
    if pil.size != tuple(size):
        pil = ImageOps.fit(pil, size, method=Pil.Resampling.LANCZOS)
    return torch.from_numpy(np.array(pil)).permute(2, 0, 1).float() / 127.5 - 1


def flat(pil: "Pil.Image") -> "Pil.Image":
    """Without transparency: laid on white."""
    from PIL import Image as Pil

    if pil.mode != "RGBA":
        return pil.convert("RGB")
    ground = Pil.new("RGBA", pil.size, "white")
    return Pil.alpha_composite(ground, pil).convert("RGB")


def sheet(pictures: Sequence[Image], columns: int = 8, gap: int = 4) -> Image:
    """A contact sheet on white: pictures side by side, each cell as large as the largest."""
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height = (max(p.size[axis] for p in pictures) for axis in (0, 1))
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = gap + number // columns * (height + gap), gap + number % columns * (width + gap)
        pixels = np.asarray(flat(picture.pil()))
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return Image(canvas)


def _read(path: Path) -> Image:
    from PIL import Image as Pil

    try:
        with Pil.open(path) as pil:
            if pil.width * pil.height > MOST_PIXELS:
                raise ValueError(f"{path} has {pil.width}x{pil.height} pixels; at most {MOST_PIXELS} are read")
            metadata = metadata_of(pil)
            read = _from_pil(pil)
    except (OSError, SyntaxError, EOFError, Pil.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a readable picture"
        raise ValueError(f"cannot read the picture {path}: {reason}") from error
    return Image(read.pixels, metadata, str(path))


def _from_pil(pil: "Pil.Image") -> Image:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(pil)
    clear = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
    return Image(np.array(upright.convert("RGBA" if clear else "RGB")))


def _from_array(array: np.ndarray) -> Image:
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.dtype != np.uint8:
        raise ValueError(f"an array must be uint8 [H, W, 3 or 4], not {array.dtype} {list(array.shape)}")
    return Image(array)


def options_of(format: str, metadata: str | None, quality: int = 95, lossless: bool = False) -> dict[str, Any]:
    """What PIL needs to write a format with the metadata: a text chunk in PNG, an EXIF user comment elsewhere."""
    from PIL import Image as Pil
    from PIL.PngImagePlugin import PngInfo

    if format == "PNG":
        info = PngInfo()
        if metadata is not None:
            info.add_itxt(KEYWORD, metadata, zip=len(metadata) > 1000)
        return {"pnginfo": info}
    options: dict[str, Any] = {"quality": quality}
    if format == "JPEG":
        options["subsampling"] = 0  # small saturated pictures suffer from halved colour
    else:
        options.update(lossless=lossless, exact=lossless)
    if metadata is not None:
        exif = Pil.Exif()
        exif[SOFTWARE] = KEYWORD
        exif.get_ifd(EXIF_IFD)[USER_COMMENT] = UNICODE + metadata.encode("utf-16-le")
        options["exif"] = exif.tobytes()
    return options


def metadata_of(pil: "Pil.Image") -> str | None:
    """The request in a file, if it has one."""
    if KEYWORD in pil.info:
        return str(pil.info[KEYWORD])
    comment = pil.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
    if isinstance(comment, bytes) and comment.startswith(UNICODE):
        text = comment.removeprefix(UNICODE).decode("utf-16-le", errors="replace")
        return text if text.startswith('{"mediagen"') else None
    return None
