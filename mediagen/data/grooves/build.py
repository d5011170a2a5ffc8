"""Building a data set of clips on disk: in order, by several processes, and resumable after a kill at any moment.

OUT/world.json                      recipe, soundfont with its hash, licence and notice
OUT/{train,heldout}/audio/NNNNN.npy int16 [frames, 2] at 44.1 kHz: the tracks of 16 clips one after the other
OUT/{train,heldout}/clips.jsonl     line i: {"truth", "chunk", "tracks": {name: {start, frames, lufs, captions}}}
OUT/{train,heldout}/progress        how many clips from the front are complete
OUT/READY                           written last

Uncompressed 16-bit chunks, because training reads random seconds of random clips: a memory map gives them without
decoding anything. FLAC took 26 to 54% of the size on four clips, and costs a decoder call for every crop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import config
from .. import chunks
from ..fetch import Report, sha256, unreported
from .clips import Clip, clip
from .outline import Split
from .render import RATE, SOUNDFONT, Soundfont, soundfont_file
from .stored import chunk_name
from .world import GroovesWorld, load_grooves

VERSION = 2  # of the bytes that a recipe gives
CHUNK = 16  # clips of one file
FULL = 32767
LEAST = {"train": 0, "heldout": 0, "seed": 0, "workers": 1}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker must know to make any chunk of one split."""

    world: GroovesWorld
    soundfont: Path
    seed: int
    split: Split
    folder: Path


def build_grooves(
    world: GroovesWorld | str | Path,
    out: str | Path,
    *,
    train: int = 4000,
    heldout: int = 400,
    seed: int = 0,
    workers: int = 1,
    soundfont: str | Path | None = None,
    progress: Report = unreported,
) -> Path:
    """Builds a data set folder, or finishes one that was begun with the same recipe; returns the folder.

    world: a GroovesWorld, the name of the one that ships ("grooves"), or the path of its YAML file. soundfont: another
    .sf2 file than FluidR3, which is fetched into the cache folder. progress(stage, done, total) is called with the
    stages "fetching NAME", "heldout" and "train". The bytes depend neither on `workers` nor on how often the build was
    interrupted. Raises ValueError for a bad argument, a folder that holds another data set, too little room on the
    disk, or a package that cannot be fetched.
    """
    chunks.check(LEAST, train=train, heldout=heldout, seed=seed, workers=workers)
    world = world if isinstance(world, GroovesWorld) else load_grooves(world)
    out = Path(out)
    font = Path(soundfont) if soundfont else soundfont_file(progress)
    chunks.claim(out, recipe(world, font, train=train, heldout=heldout, seed=seed), "clips")
    _check_room(world, out, train + heldout)
    splits: tuple[tuple[Split, int], ...] = (("heldout", heldout), ("train", train))
    for split, count in splits:
        job = Job(world=world, soundfont=font, seed=seed, split=split, folder=out / split)
        _build_split(job, count, workers, progress)
    chunks.replace(out / "READY", "complete\n")
    return out


def recipe(world: GroovesWorld, font: Path, *, train: int, heldout: int, seed: int) -> dict[str, Any]:
    """The content of world.json: enough to build the same bytes again, and the notice that must travel along."""
    if not font.is_file():
        raise ValueError(f"the soundfont {font} is missing")
    source = asdict(SOUNDFONT) if font.name == "FluidR3_GM.sf2" else {"name": font.name}
    return {
        "format": "mediagen grooves",
        "version": VERSION,
        "rate": RATE,
        "seed": seed,
        "counts": {"train": train, "heldout": heldout},
        "sources": [source | {"soundfont_sha256": sha256(font)}],
        "world": json.loads(json.dumps(config.plain(world))),
    }


def _check_room(world: GroovesWorld, out: Path, count: int) -> None:
    """ValueError where the disk cannot hold what is still to come, by the mean length of a clip."""
    low, high = world.seconds
    seconds = (high - low) / math.log(high / low) * (1 + 4 * world.stems)
    there = sum(file.stat().st_size for file in out.glob("*/audio/*.npy"))
    chunks.room(out, count * seconds * RATE * 4 - there)


def _build_split(job: Job, count: int, workers: int, progress: Report) -> None:
    (job.folder / "audio").mkdir(parents=True, exist_ok=True)
    filling = chunks.Filling(begin=partial(_making, job), size=CHUNK, ahead=2)
    filling.run(job.folder / "clips.jsonl", job.split, count, workers, progress)


def _making(job: Job) -> Callable[[chunks.Span], str]:
    """What a process makes chunks with: the soundfont is read once."""
    return partial(chunk, job, Soundfont(job.soundfont))


def chunk(job: Job, font: Soundfont, span: chunks.Span) -> str:
    """Makes the clips of a span, writes their audio as one file (whole or not at all), returns their records."""
    number, start = span[0] // CHUNK, 0
    audio: list[np.ndarray] = []
    lines: list[str] = []
    for index in range(*span):
        made = clip(job.world, font, job.seed, index, job.split)
        tracks = {}
        for name, said in made.captions.items():
            sound = quantised(track(made, name))
            tracks[name] = {"start": start, "frames": len(sound), "lufs": made.rendered.levels[name], "captions": said}
            audio.append(sound)
            start += len(sound)
        record = {"truth": made.truth, "chunk": number, "tracks": tracks}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    chunks.save(job.folder / chunk_name(number), np.concatenate(audio))
    return "".join(lines)


def track(made: Clip, name: str) -> np.ndarray:
    """float32 [frames, 2] of "mix" or of a stem."""
    return made.rendered.stems.get(name, made.rendered.mix)


def quantised(audio: np.ndarray) -> np.ndarray:
    """Float audio in [-1, 1] as int16, rounded, without dither."""
    return np.clip(np.round(audio * FULL), -FULL - 1, FULL).astype(np.int16)
