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
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from ... import config
from ..fetch import Report, sha256, unreported
from .clips import Clip, clip
from .outline import Split
from .render import RATE, SOUNDFONT, Soundfont, soundfont_file
from .stored import chunk_name
from .world import GroovesWorld, load_grooves

VERSION = 1  # of the bytes that a recipe gives
CHUNK = 16  # clips of one file
FULL = 32767


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
    for name, value, least in (
        ("train", train, 0),
        ("heldout", heldout, 0),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
    world = world if isinstance(world, GroovesWorld) else load_grooves(world)
    out = Path(out)
    font = Path(soundfont) if soundfont else soundfont_file(progress)
    _claim(out, recipe(world, font, train=train, heldout=heldout, seed=seed))
    _check_room(world, out, train + heldout)
    splits: tuple[tuple[Split, int], ...] = (("heldout", heldout), ("train", train))
    for split, count in splits:
        job = Job(world=world, soundfont=font, seed=seed, split=split, folder=out / split)
        _build_split(job, count, workers, progress)
    _replace(out / "READY", "complete\n")
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


def _claim(out: Path, wanted: dict[str, Any]) -> None:
    """Writes world.json, or makes sure that the folder was begun with the same recipe."""
    file = out / "world.json"
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
        if differing := [key for key in wanted if found.get(key) != wanted[key]]:
            what = ", ".join(differing)
            raise ValueError(f"{out} holds a data set of another recipe ({what} differ); choose another or delete it")
        return
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no data set of clips; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    _replace(file, json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")


def _check_room(world: GroovesWorld, out: Path, count: int) -> None:
    """ValueError where the disk cannot hold what is still to come, by the mean length of a clip."""
    low, high = world.seconds
    seconds = (high - low) / math.log(high / low) * (1 + 4 * world.stems)
    there = sum(file.stat().st_size for file in out.glob("*/audio/*.npy"))
    needed, free = count * seconds * RATE * 4 - there, shutil.disk_usage(out).free
    if needed > free:
        raise ValueError(f"{out} needs about {needed / 1e9:.1f} GB more and {free / 1e9:.1f} GB are free there")


def _replace(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def _build_split(job: Job, count: int, workers: int, progress: Report) -> None:
    (job.folder / "audio").mkdir(parents=True, exist_ok=True)
    done = _finished(job.folder)
    progress(job.split, done, count)
    spans = [(start, min(start + CHUNK, count)) for start in range(done, count, CHUNK)]
    with (job.folder / "clips.jsonl").open("a", encoding="utf-8") as lines:
        for (_, stop), records in zip(spans, _made(job, spans, workers), strict=True):
            lines.write(records)
            lines.flush()
            _replace(job.folder / "progress", f"{stop}\n")
            progress(job.split, stop, count)


def _finished(folder: Path) -> int:
    """How many clips are complete; cuts off records that were written after the last complete chunk."""
    records, file = folder / "clips.jsonl", folder / "progress"
    done = int(file.read_text()) if file.exists() else 0
    if records.exists():
        with records.open("rb+") as stream:
            for _ in range(done):
                stream.readline()
            stream.truncate(stream.tell())
    if not file.exists():
        _replace(file, "0\n")
    return done


Span = tuple[int, int]


def _made(job: Job, spans: list[Span], workers: int) -> Iterator[str]:
    """The records of the chunks in order, from this process or from several that run a few chunks ahead."""
    if not spans:
        return
    if workers == 1 or len(spans) < 2:
        font = Soundfont(job.soundfont)
        yield from (chunk(job, font, span) for span in spans)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(job,))
    try:
        yield from _ahead(pool, spans, 2 * workers)
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker process of the builder died; a script must call build_grooves() under "
            "`if __name__ == '__main__':`, or pass workers=1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: ProcessPoolExecutor, spans: list[Span], most: int) -> Iterator[str]:
    waiting: list[Future[str]] = []
    for span in spans:
        waiting.append(pool.submit(_work, span))
        if len(waiting) >= most:
            yield waiting.pop(0).result()
    yield from (future.result() for future in waiting)


_held: tuple[Job, Soundfont] | None = None  # of a worker process, set once by its initializer


def _begin(job: Job) -> None:
    global _held
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends its workers
    _held = (job, Soundfont(job.soundfont))


def _work(span: Span) -> str:
    if _held is None:
        raise RuntimeError("this worker process was not begun")
    return chunk(*_held, span)


def chunk(job: Job, font: Soundfont, span: Span) -> str:
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
    _save(job.folder / chunk_name(number), np.concatenate(audio))
    return "".join(lines)


def track(made: Clip, name: str) -> np.ndarray:
    """float32 [frames, 2] of "mix" or of a stem."""
    return made.rendered.stems.get(name, made.rendered.mix)


def quantised(audio: np.ndarray) -> np.ndarray:
    """Float audio in [-1, 1] as int16, rounded, without dither."""
    return np.clip(np.round(audio * FULL), -FULL - 1, FULL).astype(np.int16)


def _save(file: Path, audio: np.ndarray) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with fresh.open("wb") as stream:
        np.save(stream, audio)
    fresh.replace(file)
