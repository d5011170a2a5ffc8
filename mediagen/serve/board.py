"""Where a job is right now: written by the worker, read by whoever watches. Nothing of it is kept on disk."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from .records import OVER, Record

Watcher = tuple[asyncio.AbstractEventLoop, "asyncio.Queue[Progress]"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Progress:
    """state: of the job; stage: of its pipeline ("encode", "step", "decode"); step of total; left: seconds that it
    will take still, None while nobody knows; preview: a small picture, uint8 [3, H, W], of each medium."""

    state: str
    stage: str | None = None
    step: int = 0
    total: int = 0
    left: float | None = None
    preview: tuple[Any, ...] = ()
    at: float = 0.0

    @property
    def over(self) -> bool:
        return self.state in OVER


class Board:
    def __init__(self) -> None:
        self._lock = Lock()
        self._last: dict[str, Progress] = {}
        self._watchers: dict[str, list[Watcher]] = {}

    def show(self, name: str, progress: Progress) -> None:
        """Tell everyone who watches; of a job that is over nothing stays here."""
        progress = replace(progress, at=time.time())
        with self._lock:
            if progress.state == "running":
                self._last[name] = progress
            else:
                self._last.pop(name, None)
            watchers = list(self._watchers.get(name, ()))
        for loop, queue in watchers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, progress)

    def last(self, record: Record) -> Progress:
        """Where a job is, as far as is known."""
        with self._lock:
            known = None if record.over else self._last.get(record.id)
        return known or Progress(state=record.state, at=record.created)

    def forget(self, names: Iterable[str]) -> None:
        """Of jobs that nobody works at any more nothing stays here."""
        with self._lock:
            for name in names:
                self._last.pop(name, None)

    @contextmanager
    def watched(self, name: str) -> Iterator["asyncio.Queue[Progress]"]:
        """A queue of what is shown of a job from now on, for the event loop that asks."""
        watcher: Watcher = (asyncio.get_running_loop(), asyncio.Queue())
        with self._lock:
            self._watchers.setdefault(name, []).append(watcher)
        try:
            yield watcher[1]
        finally:
            with self._lock:
                self._watchers[name].remove(watcher)
                if not self._watchers[name]:
                    del self._watchers[name]
