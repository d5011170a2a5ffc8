"""Files in and out: what is written is what another reader finds, and nothing is half-written."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mediagen.modalities import image, replacing
from mediagen.modalities.image import Image

REQUEST = '{"mediagen": {"prompt": "für ☃ \\"quoted\\""}}'


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def decode_png(content: bytes) -> np.ndarray:
    """A PNG reader from the specification alone (8 bits, no interlace): signature, chunks, filters."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, header, data = 8, b"", b""
    while at < len(content):
        (length,), kind = struct.unpack(">I", content[at : at + 4]), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0]
        header, data = (body if kind == b"IHDR" else header), data + (body if kind == b"IDAT" else b"")
        at += 12 + length
    width, height, _, colour = struct.unpack(">IIBB", header[:10])
    step = {2: 3, 6: 4}[colour]
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * step)
    out = np.zeros((height, width * step), np.uint8)
    for y, (kind, *row) in enumerate(rows.tolist()):
        for x, value in enumerate(row):
            left = int(out[y, x - step]) if x >= step else 0
            up = int(out[y - 1, x]) if y else 0
            corner = int(out[y - 1, x - step]) if y and x >= step else 0
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda v: abs(guess - v))
            out[y, x] = (value + (0, left, up, (left + up) // 2, paeth)[kind]) % 256
    return out.reshape(height, width, step)


@pytest.mark.parametrize("channels", [3, 4])
def test_another_reader_finds_the_same_pixels_in_a_png(tmp_path: Path, channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 13, channels), dtype=np.uint8)
    file = Image(pixels, REQUEST).save(tmp_path / "a.png")
    assert np.array_equal(decode_png(file.read_bytes()), pixels)


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "webp", "PNG"])
def test_metadata_and_size_round_trip(tmp_path: Path, pixels: np.ndarray, ending: str) -> None:
    file = Image(pixels, REQUEST).save(tmp_path / f"a.{ending}")
    read = image.load(file)
    assert read.metadata == REQUEST
    assert read.size == (40, 24) and read.path == str(file)


def test_lossless_formats_keep_every_pixel_and_lossy_ones_come_close(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    smooth = np.stack([np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)), np.full((64, 64), 90, np.uint8)], -1)
    lossless = image.load(Image(smooth).save(tmp_path / "a.webp", lossless=True))
    assert np.array_equal(lossless.pixels, smooth)
    for name in ("a.jpg", "b.webp"):
        read = image.load(Image(smooth).save(tmp_path / name, quality=95))
        assert np.abs(read.pixels.astype(int) - smooth).mean() < 2


def test_alpha_survives_and_lies_on_white(tmp_path: Path) -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = (255, 0, 0, 255)
    for name in ("a.png", "a.webp"):
        read = image.load(Image(clear).save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {})))
        assert read.pixels.shape == (4, 4, 4) and np.array_equal(read.pixels[..., 3], clear[..., 3])
        assert torch.equal(read.tensor()[:, 3, 0], torch.ones(3))
    with pytest.raises(ValueError, match="transparency"):
        Image(clear).save(tmp_path / "a.jpg")
    assert not (tmp_path / "a.jpg").exists()


def test_exif_orientation_is_followed(tmp_path: Path, pixels: np.ndarray) -> None:
    from PIL import Image as Pil

    exif = Pil.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    Pil.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(image.load(tmp_path / "turned.png").pixels, np.rot90(pixels, -1))


def test_tensor_and_picture_are_inverse(pixels: np.ndarray) -> None:
    picture = Image(pixels)
    assert np.array_equal(Image.from_tensor(picture.tensor() * 2 - 1).pixels, pixels)
    assert np.array_equal(Image.from_tensor(torch.full((3, 2, 2), 7.0)).pixels, np.full((2, 2, 3), 255))
    assert image.fitted(picture, (40, 24)).shape == (3, 24, 40)
    assert image.fitted(picture, (16, 16)).shape == (3, 16, 16)


def test_notebooks_get_a_png(pixels: np.ndarray) -> None:
    assert np.array_equal(decode_png(Image(pixels)._repr_png_()), pixels)


def test_a_sheet_holds_every_picture(pixels: np.ndarray) -> None:
    whole = image.sheet([Image(pixels)] * 5, columns=3, gap=2)
    assert whole.size == (3 * 42 + 2, 2 * 26 + 2)
    assert np.array_equal(whole.pixels[2:26, 2:42], pixels)


def test_broken_and_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    whole = Image(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "half.png", "missing.png", "."):
        with pytest.raises(ValueError, match="cannot read the picture"):
            image.load(tmp_path / name)
    for value in (7, np.zeros((4, 4)), np.zeros((4, 4, 3))):
        with pytest.raises(ValueError, match="must be"):
            image.load(value)


def test_a_failed_save_leaves_what_was_there(tmp_path: Path, pixels: np.ndarray, monkeypatch) -> None:
    file = Image(pixels).save(tmp_path / "a.png")
    before = file.read_bytes()

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(replacing.os, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        Image(pixels[::-1].copy()).save(file)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
    for bad, words in (("a.tiff", "ending"), ("nowhere/a.png", "cannot write")):
        with pytest.raises(ValueError, match=words):
            Image(pixels).save(tmp_path / bad)
    with pytest.raises(ValueError, match="quality"):
        Image(pixels).save(tmp_path / "a.jpg", quality=0)
