"""Works off batches: a few lines at a time while there is room in the queue, and after an end from where it was."""

import asyncio
import json
import logging
import secrets
import time
from contextlib import suppress
from typing import Any

from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from .batch_records import Batch, Line
from .batches import WINDOWS
from .errors import Refused
from .inner import ask
from .records import Kept
from .service import Service

LOG = logging.getLogger("mediagen.serve")
IDLE = 5.0  # seconds after which it looks for work of its own accord
MOST = 60.0  # seconds that a full queue is waited for at a time


class Runner:
    """A task of the event loop. It asks the server as any client does (`inner.ask`)."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._wake.set)

    async def _run(self) -> None:
        while True:
            try:
                for batch in await run_in_threadpool(self._service.batches.working):
                    await self._work(batch)
            except Exception:  # a database that is away for a while
                LOG.exception("batches cannot be worked at")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), IDLE)
            self._wake.clear()

    async def _work(self, batch: Batch) -> None:
        """A batch to its end."""
        batches = self._service.batches
        if batch.status != "finalizing":
            lines = await run_in_threadpool(batches.lines, batch.id, waiting=True)
            await self._lines(batch, lines)
        now = await run_in_threadpool(batches.get, batch.id)
        end = {"cancelling": "cancelled", "finalizing": "completed"}.get(now.status, "completed")
        end = "expired" if end == "completed" and self._expired(now) else end
        await run_in_threadpool(batches.move, batch.id, "finalizing", "in_progress")
        files = await self._files(now)
        await run_in_threadpool(batches.move, batch.id, end, "finalizing", "cancelling", **files)
        LOG.info("batch", extra={"about": {"id": batch.id, "status": end}})

    async def _lines(self, batch: Batch, lines: list[Line]) -> None:
        """As many at once as are made together, on all devices."""
        rest = iter(lines)

        async def some() -> None:
            for line in rest:
                await self._line(batch, line)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(len(lines), self._service.limits.batch * len(self._service.workers))):
                tasks.create_task(some())

    async def _line(self, batch: Batch, line: Line) -> None:
        """A line to its end: its job may be there already, from before the server was killed."""
        name, status, answer = line.job, 0, None
        while name is None:
            if (why := await self._left(batch)) is not None:
                status, answer = why
                break
            status, headers, answer = await self._ask(batch, "POST", batch.endpoint, {**line.asked, "wait": False})
            if status in (429, 503):  # the queue is full, or a process is started again
                await asyncio.sleep(min(float(headers.get("retry-after", 1)), MOST))
                continue
            name = answer.get("id") if status in (200, 202) else None
            if name is None:
                break
            await self._note(line, job=name)
        if name is not None:
            status, answer = await self._made(batch, name)
        await self._note(line, status=status, answer=None if status == 200 else answer)

    async def _made(self, batch: Batch, name: str) -> tuple[int, Any]:
        """A job when it is over; it is cancelled with its batch."""
        ended = asyncio.create_task(self._ended(name))
        while not ended.done():
            await asyncio.wait([ended], timeout=1)
            if not ended.done() and await self._left(batch) is not None:
                await self._service.cancel(name)
        status, _, answer = await self._ask(batch, "GET", f"/v1/jobs/{name}/answer")
        return status, answer

    async def _ended(self, name: str) -> None:
        async for _ in self._service.watch(name):
            pass

    async def _left(self, batch: Batch) -> tuple[int, Any] | None:
        """Why no more of a batch is made; None while it is."""
        now = await run_in_threadpool(self._service.batches.get, batch.id)
        if now is not None and now.status == "in_progress" and not self._expired(now):
            return None
        expired = now is not None and self._expired(now)
        word, code = ("expired", "batch_expired") if expired else ("was cancelled", "batch_cancelled")
        return 409, Refused(message=f"the batch {word} before this was made", status=409, code=code).body

    def _expired(self, batch: Batch) -> bool:
        return time.time() > batch.times["created"] + WINDOWS[batch.window]

    async def _ask(
        self, batch: Batch, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        return await ask(self._app, self._service.settings, method, batch.base.rstrip("/") + path, body)

    async def _note(self, line: Line, **values: Any) -> None:
        await run_in_threadpool(self._service.batches.note, line, **values)

    # ---- files

    async def _files(self, batch: Batch) -> dict[str, str]:
        """What became of the lines, as files of the client's: those that were made, and those that were not."""
        lines = await run_in_threadpool(self._service.batches.lines, batch.id)
        made = [line for line in lines if line.status == 200]
        names = {}
        for what, some in (("output", made), ("error", [line for line in lines if line.status != 200])):
            if some:
                names[f"{what}_file"] = await self._file(batch, what, some)
        return names

    async def _file(self, batch: Batch, what: str, lines: list[Line]) -> str:
        """The name of the file; it may be there already, from before the server was killed."""
        name, store = f"file-{batch.id.removeprefix('batch_')}-{what}", self._service.store
        if await run_in_threadpool(store.kept, name):
            return name
        place = self._service.media.new(".jsonl")
        part = place.with_name(f".{place.name}.partial")
        try:
            with part.open("wb") as file:
                for line in lines:
                    status, answer = line.status or 0, line.answer
                    if line.status == 200:
                        status, _, answer = await self._ask(batch, "GET", f"/v1/jobs/{line.job}/answer")
                    await run_in_threadpool(file.write, _written(line, status, answer))
            part.replace(place)
        finally:  # where there is no room for it, it is tried again later
            part.unlink(missing_ok=True)
        about = {"purpose": "batch_output", "bytes": place.stat().st_size, "created": time.time()}
        await run_in_threadpool(store.keep, Kept(id=name, name=f"{batch.id}-{what}.jsonl", place=place.name, **about))
        return name


def _written(line: Line, status: int, answer: Any) -> bytes:
    name = f"batch_req_{secrets.token_hex(12)}"
    response = {"status_code": status, "request_id": line.job or name, "body": answer}
    said = {"id": name, "custom_id": line.custom, "response": response, "error": None}
    return json.dumps(said).encode() + b"\n"
