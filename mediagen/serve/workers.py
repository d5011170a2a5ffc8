"""The workers of all devices: which of them takes what waits, and what they are asked and told together."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any

from .board import Board
from .limits import Limits
from .media import Media
from .process import Process
from .records import Record
from .store import Store
from .worker import Worker

TURN = 5.0  # seconds that a job may be passed by others whose model is loaded already: about what loading one takes


class Workers:
    """One for each of `studios`, as (the name of its device, its process). A job is made by a worker that is free: by
    one that has its model if any of those has, so that few models are loaded twice."""

    def __init__(
        self, store: Store, media: Media, board: Board, limits: Limits, studios: Sequence[tuple[str, Process]]
    ) -> None:
        self._store, self._limits, self._lock = store, limits, Lock()
        about: dict[str, Any] = {"media": media, "board": board, "limits": limits, "take": self._take}
        self._all = tuple(Worker(device=device, store=store, studio=studio, **about) for device, studio in studios)

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._all)

    def __getitem__(self, number: int) -> Worker:
        return self._all[number]

    def __len__(self) -> int:
        return len(self._all)

    @property
    def pace(self) -> float:
        """Seconds in which they have got a job done lately, all together."""
        return 1 / sum(1 / worker.pace for worker in self._all)

    def watched_by(self, watch: Callable[[Record, str], None]) -> None:
        """Called with each job that is over or waits again, and its state."""
        for worker in self._all:
            worker.watch = watch

    def start(self) -> None:
        for worker in self._all:
            worker.start()

    def wake(self) -> None:
        for worker in self._all:
            worker.wake()

    def cancel(self, name: str) -> None:
        """Leave a running job before its next step, whoever runs it."""
        for worker in self._all:
            worker.cancel(name)

    def stop(self, grace: float) -> None:
        """Finish what runs, or leave it queued if that takes longer than `grace` seconds; all of them at once."""
        with ThreadPoolExecutor(len(self._all)) as threads:
            list(threads.map(lambda worker: worker.stop(grace), self._all))

    # ---- who does what

    def for_plans(self, model: str) -> Worker:
        """Who looks at a job of this model before it waits: who has the model, else who is free. That is done beside
        what is made."""
        return min(self._all, key=lambda worker: (model not in worker.warm, not worker.free))

    def for_streams(self, model: str) -> Worker:
        """Who makes a live stream: who makes the fewest, else is free, else has the model."""
        return min(self._all, key=lambda worker: (worker.streams, not worker.free, model not in worker.warm))

    def _take(self, worker: Worker) -> list[Record]:
        """The next jobs of a worker that is free; the others look at what is left."""
        with self._lock:
            free = [one for one in self._all if one.free]
            others = {model for one in free if one is not worker for model in one.warm}
            choose = partial(chosen, warm=worker.warm, others=others) if len(self._all) > 1 else None
            taken = self._store.take(self._limits.batch, choose, sharing=max(1, len(free)))
            worker.free = not taken
        if taken:
            self.wake()
        return taken


def chosen(waiting: Sequence[Any], *, warm: Collection[str], others: Collection[str]) -> Any | None:
    """Of the jobs that wait (`model`, `created`; the longest waiting first) the one that a free worker takes, whose
    process has the models `warm`; `others`: those that other free ones have. None if all are for them.

    The first, but within `TURN` seconds one that needs no loading goes before it.
    """
    mine = [job for job in waiting if job.model in warm or job.model not in others]
    if not mine or time.time() - mine[0].created > TURN:
        return mine[0] if mine else None
    return next((job for job in mine if job.model in warm), mine[0])
