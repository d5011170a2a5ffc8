"""Building a data set of clips on disk: in order, by several processes, and resumable after a kill at any moment.

OUT/world.json                      recipe, sources with versions, hashes, licences and notices
OUT/{train,heldout}/frames/NNNNN.npy uint8 [64, F, size, size, 3]: the frames of 64 clips
OUT/{train,heldout}/clips.jsonl     line i: {"captions": [...], "truth": {...}}
OUT/{train,heldout}/progress        how many clips from the front are complete
OUT/READY                           written last

Uncompressed, because training reads random clips: a memory map gives them without decoding anything (docs/motion.md has
the figures).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import config
from .. import chunks
from ..build import short
from ..emoji import PACKAGES
from ..fetch import Report, unreported
from .art import Art, load_art, sources
from .clip import clip
from .clips import CHUNK, chunk_name
from .reading import load_motion
from .world import MotionWorld, Split

VERSION = 1  # of the bytes that a recipe gives
LEAST = {"train": 0, "heldout": 0, "seed": 0, "workers": 1}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker must know to make any chunk of one split."""

    world: MotionWorld
    seed: int
    split: Split
    folder: Path


def build_motion(
    world: MotionWorld | str | Path,
    out: str | Path,
    *,
    train: int = 20_000,
    heldout: int = 1_000,
    seed: int = 0,
    workers: int = 1,
    progress: Report = unreported,
) -> Path:
    """Builds a data set folder, or finishes one that was begun with the same recipe; returns the folder.

    world: a MotionWorld, the name of one that ships ("small", "whole"), or the path of its YAML file.
    progress(stage, done, total) is called with the stages "fetching NAME", "sprites", "films", "heldout" and "train".
    The bytes depend neither on `workers` nor on how often the build was interrupted. Packages and drawings are kept in
    the cache folder ($MEDIAGEN_CACHE, see `fetch.cache_folder`). Raises ValueError for a bad argument, a folder that
    holds another data set, too little room on the disk, or a package that cannot be fetched.
    """
    chunks.check(LEAST, train=train, heldout=heldout, seed=seed, workers=workers)
    world = world if isinstance(world, MotionWorld) else load_motion(world)
    out = Path(out)
    load_art(world, report=progress)  # fetched and drawn before any worker asks
    chunks.claim(out, recipe(world, train=train, heldout=heldout, seed=seed), "clips")
    _check_room(world, out, train + heldout)
    splits: tuple[tuple[Split, int], ...] = (("heldout", heldout), ("train", train))
    for split, count in splits:
        _build_split(Job(world=world, seed=seed, split=split, folder=out / split), count, workers, progress)
    chunks.replace(out / "READY", "complete\n")
    return out


def recipe(world: MotionWorld, *, train: int, heldout: int, seed: int) -> dict[str, Any]:
    """The content of world.json: enough to build the same bytes again, and the notices that must travel along."""
    scenes = world.scenes
    packages = [PACKAGES[style] for style, weight in world.styles.items() if weight] + sources(world)
    return {
        "format": "mediagen motion",
        "version": VERSION,
        "seed": seed,
        "counts": {"train": train, "heldout": heldout},
        "motion": config.plain(world),
        "world": scenes.name,
        "scenes": dict(scenes.scenes),
        "labels": {label.name: short(label) for label in scenes.labels},
        "backgrounds": {background.name: short(background) for background in scenes.backgrounds},
        "styles": {name: short(style) for name, style in scenes.styles.items()},
        "sources": [asdict(package) for package in packages],
    }


def _check_room(world: MotionWorld, out: Path, count: int) -> None:
    there = sum(file.stat().st_size for file in out.glob("*/frames/*.npy"))
    chunks.room(out, count * world.frames * world.size**2 * 3 - there)


def _build_split(job: Job, count: int, workers: int, progress: Report) -> None:
    (job.folder / "frames").mkdir(parents=True, exist_ok=True)
    filling = chunks.Filling(begin=partial(_making, job), size=CHUNK)
    filling.run(job.folder / "clips.jsonl", job.split, count, workers, progress)


def _making(job: Job) -> Callable[[chunks.Span], str]:
    """What a process makes chunks with: the drawings are read once."""
    return partial(chunk, job, load_art(job.world))


def chunk(job: Job, art: Art, span: chunks.Span) -> str:
    """Makes the clips of a span, writes their frames as one file (whole or not at all), returns their records."""
    made = [clip(job.world, art, job.seed, index, job.split) for index in range(*span)]
    chunks.save(job.folder / chunk_name(span[0] // CHUNK), np.stack([one.frames for one in made]))
    records = [{"captions": one.captions, "truth": one.truth} for one in made]
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
