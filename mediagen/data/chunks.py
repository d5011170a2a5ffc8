"""What every builder of a data set does: claim a folder for one recipe, make chunks in order by several processes, and
keep their records so that a build that was killed at any moment goes on where it was.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .fetch import Report

T = TypeVar("T")
Span = tuple[int, int]  # first, last + 1
Make = Callable[[Span], Any]


def check(least: dict[str, int], **numbers: int) -> None:
    """ValueError for a number that is below its least."""
    for name, value in numbers.items():
        if value < least[name]:
            raise ValueError(f"{name} is {value}; it must be at least {least[name]}")


def claim(out: Path, wanted: dict[str, Any], what: str) -> None:
    """Writes OUT/world.json, or makes sure that the folder was begun with the same recipe. what: "scenes", "clips".

    ValueError if it holds a data set of another recipe, or anything else.
    """
    file = out / "world.json"
    wanted = json.loads(json.dumps(wanted))
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
        if differing := [key for key in wanted if found.get(key) != wanted[key]]:
            names = ", ".join(differing)
            raise ValueError(f"{out} holds a data set of another recipe ({names} differ); choose another or delete it")
        return
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no data set of {what}; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    replace(file, json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")


def replace(file: Path, text: str) -> None:
    """The file with this text, whole or not at all."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def save(file: Path, array: np.ndarray) -> None:
    """The array as a .npy file, whole or not at all."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with fresh.open("wb") as stream:
        np.save(stream, array)
    fresh.replace(file)


def room(place: Path, needed: float) -> None:
    """ValueError where the disk of a file or folder cannot hold about so many bytes more."""
    free = shutil.disk_usage(place if place.is_dir() else place.parent).free
    if needed > free:
        raise ValueError(f"{place} needs {needed / 1e9:.1f} GB more and {free / 1e9:.1f} GB are free there")


def spans(done: int, count: int, size: int) -> list[Span]:
    """The chunks of `size` that are still to be made, the last of them shorter."""
    return [(start, min(start + size, count)) for start in range(done, count, size)]


@dataclass(frozen=True)
class Records:
    """The records of a split, one line of JSON each, and beside them, in `progress`, how many are complete."""

    file: Path

    def begin(self) -> int:
        """How many records are complete; cuts off those that were written after the last complete chunk."""
        progress = self.file.with_name("progress")
        done = int(progress.read_text()) if progress.exists() else 0
        if self.file.exists():
            with self.file.open("rb+") as stream:
                for _ in range(done):
                    stream.readline()
                stream.truncate(stream.tell())
        else:
            self.file.touch()
        if not progress.exists():
            replace(progress, "0\n")
        return done

    def append(self, records: str, stop: int) -> None:
        """The records of the chunk that ends before number `stop`; what they speak of must be on the disk already."""
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(records)
        replace(self.file.with_name("progress"), f"{stop}\n")


@dataclass(frozen=True, kw_only=True)
class Filling:
    """How a split is filled. begin: as `in_order` has it; keep(span, chunk) -> the lines of its records, once what
    they speak of is on the disk; size, ahead: places of a chunk, chunks that a process may be ahead."""

    begin: Callable[[], Make]
    size: int
    keep: Callable[[Span, Any], str] = lambda _, lines: lines
    ahead: int = 3

    def run(self, file: Path, split: str, count: int, workers: int, report: Report) -> None:
        """Makes what lacks of `count` places and keeps their records in `file`. report(split, done, count)."""
        records = Records(file)
        done = records.begin()
        report(split, min(done, count), count)
        left = spans(done, count, self.size)
        for span, chunk in zip(left, in_order(left, workers, self.begin, self.ahead), strict=True):
            records.append(self.keep(span, chunk), span[1])
            report(split, span[1], count)


def in_order(
    chunks: Sequence[Span], workers: int, begin: Callable[[], Callable[[Span], T]], ahead: int = 3
) -> Iterator[T]:
    """What is made of each chunk, in order, here or by several processes that run at most `ahead` chunks each ahead.

    begin() -> make, once in each process (it loads what making needs; picklable); make(span) -> the chunk.
    """
    if not chunks:
        return
    if workers == 1 or len(chunks) < 2:
        yield from map(begin(), chunks)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(begin,))
    try:
        yield from _ahead(pool, chunks, ahead * workers)
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker process of the builder died; a script must build under `if __name__ == '__main__':`, "
            "or pass workers=1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: ProcessPoolExecutor, chunks: Sequence[Span], most: int) -> Iterator[Any]:
    waiting: list[Future[Any]] = []
    for span in chunks:
        waiting.append(pool.submit(_work, span))
        if len(waiting) >= most:
            yield waiting.pop(0).result()
    yield from (future.result() for future in waiting)


_make: Make | None = None  # of a worker process, set once by its initializer


def _begin(begin: Callable[[], Make]) -> None:
    global _make
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends its workers
    _make = begin()


def _work(span: Span) -> Any:
    if _make is None:
        raise RuntimeError("this worker process was not begun")
    return _make(span)
