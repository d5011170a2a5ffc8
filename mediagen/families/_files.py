"""Files of weights: what they are is known before they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import first_line

SAMPLES, BLOCK = 64, 2**16  # of a file's bytes, for its fingerprint
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
SHARD = re.compile(r"-\d+-of-\d+")
POINTER = b"version https://git-lfs.github.com/spec/"  # how what Git LFS leaves in a file's place begins


def fingerprint(files: Sequence[Path]) -> str:
    """A short hash of weight files, from their headers, sizes and evenly spread blocks of their bytes: checkpoints of
    many gigabytes are not read twice. ValueError for a file that is no safetensors file, is cut short, or was never
    fetched."""
    total = sha256()
    for file in files:
        for part in _sampled(file):
            total.update(part)
    return total.hexdigest()[:16]


def header(file: Path) -> tuple[int, dict[str, Any]]:
    """Of a safetensors file: (bytes before the weights, name -> entry). ValueError for another file."""
    refuse_pointer(file)
    if file.suffix in PICKLES:
        raise ValueError(f"{file} is a pickle, which may run code as it is read: have it as .safetensors")
    try:
        with file.open("rb") as opened:
            count = int.from_bytes(opened.read(8), "little")
            entries = json.loads(opened.read(min(count, 10**8)))
        return 8 + count, {name: entry for name, entry in entries.items() if name != "__metadata__"}
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} is no safetensors file, or is cut short: {first_line(error)}") from error


def file_of(place: Path, what: str, names: Sequence[str] = ()) -> Path:
    """The .safetensors file at a place, of a folder the only one, or the one that has one of these names; ValueError,
    saying what it should be, where there is none."""
    own = sorted(place.glob("*.safetensors")) if place.is_dir() else [place]
    files = [file for file in own if file.name in names] or own
    if len(files) != 1 or files[0].suffix != ".safetensors":
        raise ValueError(f"{what} is a .safetensors file, or a folder with one of them, and {place} is not")
    return files[0]


def pointer(file: Path) -> bool:
    """Whether it is what `git clone` without Git LFS leaves in the place of a large file."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(POINTER)) == POINTER


def variant_of(file: str | Path) -> str:
    """What is between a weight file's name and its kind: "fp16" of `model.fp16-00001-of-00002.safetensors`; empty for a
    plain one."""
    return SHARD.sub("", Path(file).stem.partition(".")[2])


def check_variant(name: str, variant: str, chosen: Iterable[Path], there: Iterable[str | Path]) -> None:
    """ValueError where no file that is chosen is of a variant, which names those that are there. As in diffusers, a
    part that has none of it may be plain, but not all of them."""
    if any(variant_of(file) == variant for file in chosen):
        return
    kinds = sorted({variant_of(file) for file in there} - {""})
    said = f"those it has are {', '.join(map(repr, kinds))}" if kinds else "all are plain: leave out variant"
    raise ValueError(f"the checkpoint {name} has no weights of the variant {variant!r}; {said}")


def stored(folder: Path) -> int | None:
    """Bytes of a part's weights, by their index or the files themselves; None where neither is there."""
    for index in sorted(folder.glob("*.safetensors.index.json")):
        if (total := json.loads(index.read_text(encoding="utf-8")).get("metadata", {}).get("total_size")) is not None:
            return int(total)
    files = [file for file in folder.glob("*.safetensors") if "." not in file.stem and not pointer(file)]
    return sum(file.stat().st_size for file in files) or None


def left(folder: Path) -> str:
    """What is added to an error, where tokenizers or configurations of a checkpoint are such files; or nothing."""
    files = [
        file for file in sorted(folder.glob("*/*")) if file.suffix in (".json", ".txt", ".model") and pointer(file)
    ]
    needed = (file for file in files if not _spared(file))
    return next((f"; {_said(file)}" for file in needed), "")


def _spared(file: Path) -> bool:
    """Whether another file stands for it: of a tokenizer the one that says all."""
    whole = file.with_name("tokenizer.json")
    return file != whole and whole.is_file() and not pointer(whole)


def _said(file: Path) -> str:
    return f"{file} is a Git LFS pointer, not the file: run `git lfs pull` where it was cloned, or fetch it anew"


def refuse_pointer(file: Path) -> None:
    """ValueError for such a file."""
    if pointer(file):
        raise ValueError(_said(file))


def _sampled(file: Path) -> Iterator[bytes]:
    refuse_pointer(file)
    size, (begin, entries) = file.stat().st_size, header(file) if file.suffix == ".safetensors" else (0, {})
    data = max((entry["data_offsets"][1] for entry in entries.values()), default=size)
    if size != begin + data:
        raise ValueError(f"{file} is cut short or damaged: it has {size} bytes, not {begin + data}; fetch it again")
    with file.open("rb") as opened:
        yield opened.read(begin)
        for number in range(SAMPLES):
            opened.seek(begin + data * number // SAMPLES)
            yield opened.read(min(BLOCK, -(-data // SAMPLES)))
