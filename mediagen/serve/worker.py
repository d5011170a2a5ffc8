"""The worker of a device: takes jobs from the store, those that are alike together, and walks them to their ends."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any

from .board import Board, Progress
from .errors import reason
from .limits import Limits
from .media import Media
from .models import Models
from .records import Record
from .store import Store

LOG = logging.getLogger("mediagen.serve")
IDLE = 5.0  # seconds after which an idle worker looks for jobs of its own accord
Batch = Sequence[tuple[Record, Any]]


class TooLong(Exception):
    """The job takes longer than it may."""


class Worker:
    """One thread. A job that fails fails alone: what a batch breaks on is found by making its jobs one by one."""

    def __init__(self, store: Store, media: Media, models: Models, board: Board, limits: Limits) -> None:
        self._store, self._media, self._models = store, media, models
        self._board, self._limits = board, limits
        self._wake, self._ending, self._now = Event(), Event(), Event()
        self._lock = Lock()
        self._running: set[str] = set()
        self._cancelled: set[str] = set()
        self._thread = Thread(target=self._run, name="mediagen-worker", daemon=True)
        self.watch: Callable[[Record, str], None] = lambda record, state: None
        self.pace = 1.0  # seconds that a job has taken lately: what those who wait are told

    # ---- from other threads

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def wake(self) -> None:
        self._wake.set()

    def cancel(self, name: str) -> None:
        """Leave a running job before its next step."""
        with self._lock:
            self._cancelled |= {name} & self._running

    def stop(self, grace: float) -> None:
        """Finish what runs, or leave it queued if that takes longer than `grace` seconds."""
        self._ending.set()
        self._wake.set()
        self._thread.join(grace)
        self._now.set()
        self._thread.join()

    # ---- its own thread

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                taken = self._store.take(self._limits.batch)
            except Exception:  # a database that is away for a while
                LOG.exception("cannot take jobs")
                taken = []
            if taken:
                self._make(taken)
                continue
            self._wake.wait(IDLE)
            self._wake.clear()

    def _make(self, records: Sequence[Record]) -> None:
        with self._lock:
            self._running = {record.id for record in records}
        batch = [made for record in records if (made := self._prepared(record)) is not None]
        if batch:
            self._together(batch)
        with self._lock:
            self._running, self._cancelled = set(), set()
        self._board.forget(record.id for record in records)

    def _prepared(self, record: Record) -> tuple[Record, Any] | None:
        """None for a job that fails already, or was cancelled before it could be known that it runs."""
        now = self._store.get(record.id)
        if now is None or now.over:
            return None
        self._tell(record, Progress(state="running"))
        with self._failing(record):
            pipeline = self._models.open(record.model)
            return record, job_of(pipeline, record, self._media)
        return None

    def _together(self, batch: Batch) -> None:
        try:
            self._walk(batch)
        except TooLong:
            for record, _ in batch:
                self._failed(record, "timeout", f"it took longer than {self._limits.time:g} s")
        except Exception as error:
            if len(batch) == 1:
                self._failed(batch[0][0], "generation_failed", reason(error), error)
                return
            for one in batch:
                self._together([one])

    def _walk(self, batch: Batch) -> None:
        """The events of a batch; it is left when it is to end at once, takes too long, or nobody wants it any more."""
        began, steps, way = time.monotonic(), 0.0, (0, 0)
        pipeline = self._models.open(batch[0][0].model)
        for event in pipeline.stream(pipeline.together([job for _, job in batch])):
            if self._now.is_set():
                self._again(batch)
                return
            if not self._wanted(batch):
                return
            if time.monotonic() - began > self._limits.time:
                raise TooLong
            if event.stage == "step":
                steps, way = steps or time.monotonic(), (event.step, event.total)
                self._stepped(batch, event, steps)
            elif event.stage == "done":
                self._finished(batch, event.results, time.monotonic() - began)
            else:
                for record, _ in batch:
                    self._tell(record, Progress(state="running", stage=event.stage, step=way[0], total=way[1]))

    def _stepped(self, batch: Batch, event: Any, since: float) -> None:
        """Progress, and the time left by that of the steps after the first, which is not like the others."""
        left = None
        if event.step > 1:
            left = (time.monotonic() - since) / (event.step - 1) * (event.total - event.step)
        previews = [] if event.preview is None else [_small(one) for one in event.preview]
        for record, own in _shares(batch, previews):
            about = {"stage": "step", "step": event.step, "total": event.total, "left": left}
            self._tell(record, Progress(state="running", preview=tuple(own), **about))

    def _finished(self, batch: Batch, results: Sequence[Any], seconds: float) -> None:
        self.pace = 0.7 * self.pace + 0.3 * seconds / len(batch)
        for record, own in _shares(batch, results):
            with self._failing(record):
                names = [self._media.save(record.modality, record.id, n, one) for n, one in enumerate(own)]
                if self._store.finish(record.id, names):
                    self._tell(record, Progress(state="done", stage="done"))
                else:  # cancelled while it was written
                    for name in names:
                        self._media.remove(name)

    def _again(self, batch: Batch) -> None:
        self._store.requeue()
        for record, _ in batch:
            self._tell(record, Progress(state="queued"))

    def _wanted(self, batch: Batch) -> bool:
        with self._lock:
            return any(record.id not in self._cancelled for record, _ in batch)

    @contextmanager
    def _failing(self, record: Record) -> Iterator[None]:
        """What goes wrong here is this job's alone."""
        try:
            yield
        except Exception as error:
            self._failed(record, "generation_failed", reason(error), error)

    def _failed(self, record: Record, code: str, why: str, error: BaseException | None = None) -> None:
        why = why.replace(f"{self._media.folder}/", "")  # where things lie is nobody's business
        unforeseen = error is not None and not isinstance(error, ValueError | OSError | MemoryError)
        LOG.warning("job %s failed: %s", record.id, why, exc_info=error if unforeseen else None)
        try:
            if self._store.fail(record.id, code, why):
                self._tell(record, Progress(state="failed"))
        except Exception:  # the database may be what is broken: the job runs again at the next start
            LOG.exception("cannot keep the failure of %s", record.id)

    def _tell(self, record: Record, progress: Progress) -> None:
        with self._lock:
            if record.id in self._cancelled and not progress.over:
                return
        self._board.show(record.id, progress)
        if progress.state != "running":
            self.watch(record, progress.state)


def job_of(pipeline: Any, record: Record, media: Media) -> Any:
    """A record's job for its pipeline: the same one each time it is built."""
    given = {option: media.load(place) for option, place in record.sources.items()}
    if "mask" in given and record.asked.get("size"):
        given["mask"] = _scaled(given["mask"], tuple(record.asked["size"]))
    return pipeline.job(**record.asked, **given, previews=True)


def _scaled(mask: Any, size: tuple[int, int]) -> Any:
    """A mask goes with its picture to the size that is asked for."""
    from ..modalities.image import Image, fitted

    return mask if mask.size == size else Image(Image.from_tensor(fitted(mask, size)).pixels, None, mask.path)


def _small(preview: Any) -> Any:
    """[3, H, W] or, of a clip, [3, F, H, W] in [-1, 1] -> uint8 [3, H, W]; of a clip the middle frame."""
    picture = preview if preview.ndim == 3 else preview[:, preview.shape[1] // 2]
    return ((picture + 1) * 127.5).round().byte().numpy()


def _shares(batch: Batch, media: Sequence[Any]) -> Iterator[tuple[Record, Sequence[Any]]]:
    """Each job's part of what was made together."""
    begin = 0
    for record, job in batch:
        count = len(job.requests)
        yield record, media[begin : begin + count]
        begin += count
