"""The worker of a device: takes jobs that wait, those that are alike together, and sees them through."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread

from .board import Board, Progress
from .errors import Refused, reason
from .limits import Limits
from .media import Media
from .process import Broken, Call, Gone, Late, Process
from .records import Record
from .store import Store
from .studio import News

LOG = logging.getLogger("mediagen.serve")
IDLE = 5.0  # seconds after which an idle worker looks for jobs of its own accord
LOADING = 300.0  # seconds in which a process is started and a model loaded
LIVES = 2  # processes that a job may take with it before it is given up: one may have died of something else


class Worker:
    """One thread, and the process of a studio that makes what it takes. A job that fails fails alone: what a batch
    breaks on is found by making its jobs one by one.

    device: the name of where its process computes; take: the jobs that are its own from now on; free: whether it waits
    for some; streams: live ones that its process makes."""

    def __init__(
        self,
        *,
        device: str,
        studio: Process,
        store: Store,
        media: Media,
        board: Board,
        limits: Limits,
        take: Callable[["Worker"], list[Record]],
    ) -> None:
        self.device, self.studio, self._take = device, studio, take
        self._store, self._media, self._board, self._limits = store, media, board, limits
        self.free, self.streams = False, 0
        self._warm: dict[str, int | None] = {}
        self._wake, self._ending, self._now = Event(), Event(), Event()
        self._lock = Lock()
        self._running: set[str] = set()
        self._cancelled: set[str] = set()
        self._call: Call | None = None
        self._thread = Thread(target=self._run, name="mediagen-worker", daemon=True)
        self.watch: Callable[[Record, str], None] = lambda record, state: None
        self.pace = 1.0  # seconds that a job has taken lately: what those who wait are told

    # ---- from other threads

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def working(self) -> int:
        """How many jobs it makes now."""
        return len(self._running)

    @property
    def warm(self) -> set[str]:
        """The models that its process has loaded."""
        return {model for model, pid in list(self._warm.items()) if pid == self.studio.pid}

    def warmed(self, model: str) -> None:
        """Its process has loaded this one."""
        self._warm[model] = self.studio.pid

    def wake(self) -> None:
        self._wake.set()

    def cancel(self, name: str) -> None:
        """Leave a running job before its next step."""
        with self._lock:
            self._cancelled |= {name} & self._running
            wanted = self._running - self._cancelled
        self._leave() if not wanted else None

    def stop(self, grace: float) -> None:
        """Finish what runs, or leave it queued if that takes longer than `grace` seconds."""
        self._ending.set()
        self._wake.set()
        self._thread.join(grace)
        self._now.set()
        self._leave()
        self._thread.join(grace)
        self.studio.stop()
        self._thread.join()

    # ---- its own thread

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.studio.start()
                self.free = True
                taken = self._take(self)
            except Exception:  # a database that is away for a while
                LOG.exception("cannot take jobs")
                self.free, taken = False, []
            if taken:
                self._seen_through(taken)
                continue
            self._wake.wait(IDLE)
            self._wake.clear()

    def _seen_through(self, records: Sequence[Record]) -> None:
        try:
            self._make(records)
        except Exception:  # of the database, or no process can be started: they wait again
            LOG.exception("cannot see %s through", ", ".join(record.id for record in records))
            with suppress(Exception):
                self._again(records)
            self._wake.wait(IDLE)

    def _make(self, records: Sequence[Record]) -> None:
        with self._lock:
            self._running = {record.id for record in records}
        batch = [record for record in records if self._is_wanted(record)]
        for record in batch:
            self._tell(record, Progress(state="running"))
        if batch:
            self._together(batch)
        with self._lock:
            self._running, self._cancelled = set(), set()
        self._board.forget(record.id for record in records)

    def _is_wanted(self, record: Record) -> bool:
        """False for a job that was cancelled before it could be known that it runs."""
        now = self._store.get(record.id)
        return now is not None and not now.over

    def _together(self, batch: Sequence[Record], lives: int = LIVES) -> None:
        try:
            self._walk(batch)
        except Late:
            for record in batch:
                self._failed(record, "timeout", f"it took longer than {self._limits.time:g} s")
        except (Broken, Refused, Gone) as error:
            lives -= isinstance(error, Gone)
            if self._now.is_set():
                self._again(batch)
            elif len(batch) == 1 and (lives == 0 or not isinstance(error, Gone)):
                self._broken(batch[0], error)
            else:
                for one in batch:
                    self._together([one], lives)

    def _walk(self, batch: Sequence[Record]) -> None:
        """A batch to its end; it is left when it is to end at once, takes too long, or nobody wants it any more."""
        began, steps, way = time.monotonic(), 0.0, (0, 0)
        call = self._call = self.studio.begin("make", batch)
        call.until = began + LOADING
        for news in call.events():
            if self._now.is_set() or not self._wanted(batch):
                break
            if call.until == began + LOADING:  # the models are there: what follows is the work of these jobs
                self.warmed(batch[0].model)
                began = time.monotonic()
                call.until = began + self._limits.time
            if news.stage == "step":
                steps, way = steps or time.monotonic(), (news.step, news.total)
                self._stepped(batch, news, steps)
            elif news.stage == "done":
                self._finished(batch, news, time.monotonic() - began)
                return
            else:
                for record in batch:
                    self._tell(record, Progress(state="running", stage=news.stage, step=way[0], total=way[1]))
        if self._now.is_set():
            self._again(batch)

    def _stepped(self, batch: Sequence[Record], news: News, since: float) -> None:
        """Progress, and the time left by that of the steps after the first, which is not like the others."""
        left = None
        if news.step > 1:
            left = (time.monotonic() - since) / (news.step - 1) * (news.total - news.step)
        about = {"state": "running", "stage": "step", "step": news.step, "total": news.total, "left": left}
        for record in batch:
            self._tell(record, Progress(preview=news.previews.get(record.id, ()), **about))

    def _finished(self, batch: Sequence[Record], news: News, seconds: float) -> None:
        self.pace = 0.7 * self.pace + 0.3 * seconds / len(batch)
        for record in batch:
            if record.id in news.broken:
                self._failed(record, "generation_failed", news.broken[record.id])
                continue
            try:
                kept = self._store.finish(record.id, news.files[record.id])
            except Exception as error:
                self._failed(record, "generation_failed", reason(error))
                continue
            if kept:
                self._tell(record, Progress(state="done", stage="done"))
            else:  # cancelled while it was written
                for name in news.files[record.id]:
                    self._media.remove(name)

    def _again(self, batch: Sequence[Record]) -> None:
        for record in batch:
            if self._store.requeue(record.id):
                self._tell(record, Progress(state="queued"))

    def _wanted(self, batch: Sequence[Record]) -> bool:
        with self._lock:
            return any(record.id not in self._cancelled for record in batch)

    def _leave(self) -> None:
        if self._call is not None:
            self._call.leave()

    def _broken(self, record: Record, error: Broken | Refused | Gone) -> None:
        code = "process_died" if isinstance(error, Gone) else "generation_failed"
        if isinstance(error, Broken) and error.trace:
            LOG.warning("job %s broke:\n%s", record.id, error.trace)
        self._failed(record, code, str(error))

    def _failed(self, record: Record, code: str, why: str) -> None:
        why = self._media.hidden(why)
        LOG.warning("job %s failed: %s", record.id, why)
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
