"""A clip as a folder: numbered PNG pictures, its sound as WAV, and its rate and request as JSON."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import audio_files, image
from .video_formats import SoundFacts, Source, Target, check_rate, exact, unreadable

ABOUT, SOUND = "clip.json", "sound.wav"
DIGITS = 5  # of a frame's name, at least


def write_folder(folder: Path, frames: Iterator[np.ndarray], to: Target) -> None:
    """Frames uint8 [H, W, 3] and the sound of `to` into an empty folder, exactly as they are."""
    from PIL import Image as Pil

    for number, frame in enumerate(frames):
        Pil.fromarray(frame).save(folder / f"{number:0{DIGITS}d}.png", compress_level=4)
    if to.sound is not None:
        audio_files.write(folder / SOUND, to.sound.blocks, to.sound.rate, to.sound.channels, bits=32)
    about = {"rate": float(to.rate), "metadata": to.metadata}
    (folder / ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")


def read_folder(folder: Path) -> Source:
    """Pictures in the order of the (last) number in their names. Without a clip.json that tells their rate, `rate` is
    None. ValueError for a folder without such pictures, or pictures of several sizes."""
    files = _files(folder)
    about = _about(folder)
    first = _frame(files[0])
    rate = None if "rate" not in about else exact(about["rate"])
    sound = None
    if (folder / SOUND).is_file():
        stream = audio_files.read(folder / SOUND)
        sound = SoundFacts(rate=stream.rate, channels=stream.channels, begin=0.0)
    return Source(
        size=first.shape[1::-1],
        rate=rate,
        seconds=None if rate is None else float(len(files) / rate),
        metadata=about.get("metadata"),
        sound=sound,
        frames=_frames(files, first.shape, float(rate or 1)),
    )


def _files(folder: Path) -> list[Path]:
    found: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        numbers = re.findall(r"\d+", file.stem)
        if file.suffix.lower() not in image.FORMATS or not numbers:
            continue
        other = found.setdefault(int(numbers[-1]), file)
        if other is not file:
            raise unreadable(folder, f"{other.name} and {file.name} have the same number")
    if not found:
        endings = ", ".join(image.FORMATS)
        raise unreadable(folder, f"there are no frames in it: pictures ({endings}) with a number in their names")
    return [found[number] for number in sorted(found)]


def _about(folder: Path) -> dict[str, Any]:
    if not (folder / ABOUT).is_file():
        return {}
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        check_rate(about["rate"])
        if not isinstance(about.get("metadata"), str | None):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(
            folder, f"its {ABOUT} is broken: it must hold a rate and the metadata, or be left out"
        ) from error
    return about


def _frame(file: Path) -> np.ndarray:
    return np.asarray(image.flat(image.load(file).pil()))


def _frames(files: list[Path], shape: tuple[int, ...], rate: float) -> Iterator[tuple[float, float, np.ndarray]]:
    for number, file in enumerate(files):
        frame = _frame(file)
        if frame.shape != shape:
            sizes = [f"{width}x{height}" for height, width, _ in (shape, frame.shape)]
            raise unreadable(file, f"it has {sizes[1]} pixels, {files[0].name} has {sizes[0]}")
        yield number / rate, 1 / rate, frame
