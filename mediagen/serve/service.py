"""Everything that the HTTP API stands on, in one place: what is asked becomes a durable job, or is refused."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool

from . import adapters
from .batch_records import Batches
from .board import Board, Progress
from .errors import Refused
from .lab import Lab
from .limits import Limits, check_words, full
from .media import Media
from .models import Offers
from .process import Broken, Gone, Process
from .records import Record
from .store import Full, Store
from .studio import Studio
from .workers import Workers

LETTERS = {"image": "img", "audio": "audio", "video": "video"}
AGAIN = 15.0  # seconds after which those who watch are told the same again: proxies drop what is silent
LOOK = 0.5  # seconds after which it is looked whether a client still waits


@dataclass(frozen=True, kw_only=True)
class Settings:
    """data: the folder of the database and the media. models: name -> folder. database: SQLAlchemy's URL, None for
    SQLite in `data`. adapters: a field of requests (`adapters.KINDS`) -> the folder of what may be named in it.
    key: what clients must name, None for nothing. hosts: the names that it may be called by (against DNS rebinding),
    none for any. grace: seconds in which a running job may end when the server does. ahead: seconds of a live stream
    that are made before they are heard. devices: where models compute, as PyTorch names them, a process for each; one
    device may be named several times. variants: as of `models.Offers`."""

    data: Path
    models: Mapping[str, Path]
    database: str | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)
    key: str | None = None
    hosts: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    grace: float = 10.0
    ahead: float = 8.0
    devices: Sequence[str] = ("cpu",)
    variants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an endpoint has understood of a request. options: of the pipeline's `job`; those that are None are left
    out. sources: option -> a name in the media folder. about: what the endpoint wants to remember."""

    endpoint: str
    modality: str
    model: str | None
    options: Mapping[str, Any]
    sources: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


class Service:
    """studio: what works in the processes of the models."""

    def __init__(self, settings: Settings, studio: type[Studio] = Studio) -> None:
        settings.data.mkdir(parents=True, exist_ok=True)
        self.settings, self.limits = settings, settings.limits
        self.models = Offers(settings.models, settings.variants)
        for kind, folder in settings.adapters.items():
            adapters.offered(kind, folder)  # OSError for a folder that cannot be read
        self._lock = _only(settings.data / "lock")
        self.media = Media((settings.data / "media").absolute())
        adapters.link(self.media.folder, settings.adapters)
        self.store = Store(settings.database or f"sqlite:///{(settings.data / 'jobs.sqlite').absolute()}")
        self.batches = Batches(self.store)
        self.board = Board()
        self.lab = Process("mediagen-lab", Lab, self.media, self.limits)
        self.workers = Workers(self.store, self.media, self.board, self.limits, self._studios(studio))

    def _studios(self, studio: type[Studio]) -> list[tuple[str, Process]]:
        """(the name of its device, a process of the models) each. ValueError for a device that is not there."""
        settings, devices = self.settings, list(self.settings.devices)
        models = {name: Path(folder).absolute() for name, folder in settings.models.items()}
        sharing = sum(_is_cpu(device) for device in devices)
        made, kinds = [], tuple(settings.adapters)
        for number, device in enumerate(devices):
            own = sharing if _is_cpu(device) else 1
            about = (models, self.media, self.limits, kinds, device, own, dict(settings.variants))
            made.append((device, Process(f"mediagen-studio-{number}", studio, *about)))
        if devices == ["cpu"]:  # which is there
            return made
        try:
            return [(process.call("place"), process) for _, process in made]
        except (Broken, Gone) as error:
            for _, process in made:
                process.stop()
            raise ValueError(str(error)) from error

    def start(self) -> int:
        """Go on with what was queued; what was interrupted runs again. How many those are."""
        again, wanted = self.store.requeue(), self.store.places()
        for place in self.media.given():
            if place not in wanted:  # of a request that was never answered
                self.media.remove(place)
        self.workers.start()
        return again

    def stop(self) -> None:
        self.workers.stop(self.settings.grace)
        self.lab.stop()
        self.store.close()
        self._lock.close()

    # ---- jobs

    async def submit(self, asked: Asked) -> Record:
        """A job in the queue, once everything about it is known to be right. Refused for what is not."""
        record = await run_in_threadpool(self._checked, asked)
        self.workers.wake()
        return record

    def _checked(self, asked: Asked) -> Record:
        offer = self.models.find(asked.model, asked.modality)
        options = {name: value for name, value in asked.options.items() if value is not None}
        options.setdefault("seed", secrets.randbelow(2**32))
        texts = (options.get(name, ()) for name in ("prompt", "negative", "lyrics"))
        check_words(self.limits, *texts, list(options.get("words", ())))
        adapters.check(self.settings.adapters, options)
        if "refiner" in options:
            self.models.find(options["refiner"], asked.modality, "refiner")
        record = Record(
            id=f"{LETTERS[asked.modality]}_{secrets.token_hex(12)}",
            endpoint=asked.endpoint,
            modality=asked.modality,
            model=offer.name,
            asked=options,
            sources=dict(asked.sources),
            about=dict(asked.about),
        )
        try:
            planner = self.workers.for_plans(record.model)
            planned = planner.studio.call("plan", record, again=False)
            planner.warmed(record.model)
            return self.store.add(planned, self.limits.queue)
        except Full as error:
            raise full(error.waiting, self.limits, self.wait_of(error.waiting)) from error
        except Gone as error:
            said = "the process of the models ended and is started again: try again"
            raise Refused(message=said, status=503, code="restarting", after=5) from error

    def wait_of(self, waiting: int) -> int:
        """Seconds until the queue will have room: a tenth of it, at the pace of late."""
        return max(1, min(60, round(waiting * self.workers.pace / 10)))

    async def cancel(self, name: str) -> bool:
        """Before its next step. False if it was over already."""
        changed = await run_in_threadpool(self.store.cancel, name)
        if changed:
            self.workers.cancel(name)
            self.board.show(name, Progress(state="cancelled"))
        return changed

    async def watch(self, name: str) -> AsyncIterator[Progress]:
        """Where a job is, each time that changes, and once in a while if it does not; the last is that it is over."""
        with self.board.watched(name) as queue:
            record = await run_in_threadpool(self.store.get, name)
            if record is None:
                return
            progress = self.board.last(record)
            yield progress
            while not record.over and not progress.over:
                with suppress(TimeoutError):
                    progress = await asyncio.wait_for(queue.get(), AGAIN)
                yield progress

    async def finished(self, name: str, client: Any) -> Record:
        """A job that someone waits for, when it is over; it is cancelled if they hang up before."""
        ended = asyncio.create_task(self._ended(name))
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=LOOK)
                if not ended.done() and await client.is_disconnected():
                    await self.cancel(name)
                    raise Refused(message="the client hung up", status=499, code="cancelled")
        finally:
            ended.cancel()
        return done(await run_in_threadpool(self.store.get, name))

    async def _ended(self, name: str) -> None:
        async for _ in self.watch(name):
            pass

    async def remove(self, record: Record) -> None:
        """A job and all that was made by it; one that runs is cancelled first. Refused if another begins from it."""
        await self.cancel(record.id)
        await run_in_threadpool(self._removed, record)

    def _removed(self, record: Record) -> None:
        now = self.store.get(record.id)
        places = () if now is None else now.results
        if any(self.store.uses(place) for place in places):
            raise Refused(message="a job that is not over begins from this one", status=409, code="in_use")
        if now is not None and self.store.forget(record.id):
            for place in places:
                self.media.remove(place)
            self.discard(now.sources.values())

    def discard(self, places: Iterable[str]) -> None:
        """Take away what was uploaded for one job alone."""
        for place in places:
            if self.media.is_given(place) and not self.store.is_kept(place) and not self.store.uses(place):
                self.media.remove(place)


def done(record: Record | None) -> Record:
    """A job that has its results. Refused, with why, if it has none."""
    if record is None or record.state == "cancelled":
        raise Refused(message="the job was cancelled", status=409, code="cancelled")
    if record.state == "failed":
        status = 504 if record.code == "timeout" else 500
        raise Refused(message=record.reason or "it failed", status=status, code=record.code or "generation_failed")
    if record.state != "done":
        raise Refused(message=f"the job is {record.state}: it has no results yet", status=409, code="not_ready")
    return record


def _is_cpu(device: str) -> bool:
    return device.partition(":")[0] == "cpu"


def _only(path: Path) -> Any:
    """A lock that ends with this process. ValueError if another server has it."""
    import fcntl

    file = open(path, "w")  # noqa: SIM115 (open as long as the server is)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ValueError(f"another server works in {path.parent}: name another folder with --data") from error
    return file


def now() -> int:
    return int(time.time())
