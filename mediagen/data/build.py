"""Building a data set of scenes on disk: in order, by several processes, and resumable after a kill at any moment.

OUT/world.json              recipe, labels, backgrounds, colours, sources with versions, hashes, licences and notices
OUT/{train,heldout}/images.npy     uint8 [N, size, size, 3], a memory map that is filled from the front
OUT/{train,heldout}/scenes.jsonl   line i: {"captions": [...], "truth": {...}}
OUT/{train,heldout}/progress       how many scenes from the front are complete
OUT/READY                   written last
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import chunks
from .emoji import PACKAGES
from .fetch import Report, unreported
from .scenes import Split, scene
from .sprites import Sprites, load_sprites
from .world import World, load_world

VERSION = 2  # of the bytes that a recipe gives
CHUNK = 250
LEAST = {"size": 32, "train": 0, "heldout": 0, "workers": 1}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker must know to make any scene of one split."""

    world: World
    size: int
    seed: int
    split: Split


def build(
    world: World | str | Path,
    out: str | Path,
    *,
    size: int = 128,
    train: int = 40_000,
    heldout: int = 2_000,
    seed: int = 0,
    workers: int = 1,
    progress: Report = unreported,
) -> Path:
    """Builds a data set folder, or finishes one that was begun with the same recipe; returns the folder.

    world: a World, the name of one that ships, or the path of its YAML file. size: pixels of a side, 32 or more.
    progress(stage, done, total) is called with the stages "fetching NAME", "sprites", "heldout" and "train". The bytes
    do not depend on `workers` nor on how often the build was interrupted. Packages and sprites are kept in the cache
    folder ($MEDIAGEN_CACHE, see `fetch.cache_folder`). Raises ValueError for a bad argument, a folder that holds
    another data set, too little room on the disk, or a package that cannot be fetched.
    """
    chunks.check(LEAST, size=size, train=train, heldout=heldout, workers=workers)
    world = world if isinstance(world, World) else load_world(world)
    out = Path(out)
    load_sprites(world, size, report=progress)  # fetched and drawn before any worker asks
    chunks.claim(out, recipe(world, size=size, train=train, heldout=heldout, seed=seed), "scenes")
    for split, count in (("heldout", heldout), ("train", train)):
        job = Job(world=world, size=size, seed=seed, split=split)
        _build_split(job, out / split, count, workers, progress)
    (out / "READY").write_text("complete\n")
    return out


def recipe(world: World, *, size: int, train: int, heldout: int, seed: int) -> dict[str, Any]:
    """The content of world.json: enough to build the same bytes again, and the notices that must travel along."""
    packages = [asdict(PACKAGES[style]) | {"style": style} for style in world.styles]
    return {
        "format": "mediagen scenes",
        "version": VERSION,
        "world": world.name,
        "size": size,
        "seed": seed,
        "counts": {"train": train, "heldout": heldout},
        "heldout_share": world.heldout,
        "scenes": dict(world.scenes),
        "recolour": world.recolour,
        "variety": world.variety,
        "labels": {label.name: short(label) for label in world.labels},
        "backgrounds": {background.name: short(background) for background in world.backgrounds},
        "styles": {name: short(style) for name, style in world.styles.items()},
        "colours": list(world.colours),
        "relations": list(world.relations),
        "sources": packages,
    }


def short(entry: Any) -> dict[str, Any]:
    """The fields of a label, background or style that differ from their defaults, without the name."""
    values = {f.name: getattr(entry, f.name) for f in fields(entry) if f.name != "name"}
    kept = {key: value for key, value in values.items() if value != entry.__dataclass_fields__[key].default}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in kept.items()}


def _build_split(job: Job, folder: Path, count: int, workers: int, progress: Report) -> None:
    folder.mkdir(exist_ok=True)
    images = _opened(folder / "images.npy", (count, job.size, job.size, 3))

    def keep(span: chunks.Span, made: Chunk) -> str:
        pictures, lines = made
        images[slice(*span)] = pictures
        images.flush()
        return lines

    filling = chunks.Filling(begin=partial(_making, job), size=CHUNK, keep=keep)
    filling.run(folder / "scenes.jsonl", job.split, count, workers, progress)


def _opened(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """The array on disk. The room is checked first: a memory map that finds the disk full kills the process."""
    chunks.room(file, int(np.prod(shape)) - _blocks(file))
    if not shape[0]:
        return _empty(file, shape)
    if file.exists():
        return np.lib.format.open_memmap(file, mode="r+")
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)


def _blocks(file: Path) -> int:
    """Bytes that a (sparse) file already takes on disk; 0 where the system does not say."""
    return getattr(file.stat(), "st_blocks", 0) * 512 if file.exists() else 0


def _empty(file: Path, shape: tuple[int, ...]) -> Any:
    empty = np.zeros(shape, np.uint8)
    np.save(file, empty)
    return empty


Chunk = tuple[np.ndarray, str]  # pictures and the lines of their records


def _making(job: Job) -> Callable[[chunks.Span], Chunk]:
    """What a process makes chunks with: the sprites are read once."""
    return partial(_chunk, job, load_sprites(job.world, job.size))


def _chunk(job: Job, sprites: Sprites, span: chunks.Span) -> Chunk:
    made = [scene(job.world, sprites, job.seed, i, job.split, job.size) for i in range(*span)]
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for _, record in made]
    return np.stack([picture for picture, _ in made]), "".join(lines)
