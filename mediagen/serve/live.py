"""Music that streams and follows its prompt while it is heard: chunked over HTTP, or over a WebSocket."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from .errors import Refused, missing
from .fields import Common, Timeline, Words, documented, fitted, parsed, read
from .gate import Metrics
from .limits import check_words
from .media import TYPES
from .process import Broken, Gone
from .service import Service
from .worker import Worker

router = APIRouter(prefix="/v1", tags=["live"])
Name = Annotated[str, Path(max_length=64)]
LOG = logging.getLogger("mediagen.serve")
STUCK = 60.0  # seconds in which a stream's client takes nothing, after which its place is another's
TYPES_OF_STREAMS = {"wav": TYPES["wav"], "mp3": TYPES["mp3"], "pcm": "audio/L16"}


class Asked(Common):
    """seconds: None for as long as the server allows; output_format: wav (whose head tells no length), mp3, or pcm
    (16 bits, little endian, channels in turn). A prompt may be a timeline [[second, text], ...]."""

    prompt: Words | Timeline
    seconds: Annotated[float | None, Field(gt=0, le=1_000_000)] = None
    bpm: Annotated[float | None, Field(gt=0)] = None
    output_format: Literal["wav", "mp3", "pcm"] = "wav"


class Change(BaseModel):
    """What is to be heard from the next window on; what is left out stays."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    prompt: Words | Timeline | None = None
    guidance_scale: Annotated[float | None, Field(ge=0, le=100)] = None
    bpm: Annotated[float | None, Field(gt=0)] = None


@dataclass(kw_only=True, eq=False)
class Running:
    """A stream that someone hears; a worker's process makes it. facts: how it was when that was last heard of;
    ahead: seconds that are made before they are heard."""

    id: str
    worker: Worker
    facts: dict[str, Any]
    ahead: float
    began: float = field(default_factory=time.monotonic)
    pulled: float = field(default_factory=time.monotonic)
    stop: Event = field(default_factory=Event)

    @property
    def stuck(self) -> bool:
        """Whether nobody takes what is made."""
        return time.monotonic() - self.pulled > STUCK

    async def bytes(self) -> AsyncIterator[bytes]:
        """No faster than it is heard, so that a new prompt is heard soon. Ends where it is stopped."""
        while not self.stop.is_set():
            await asyncio.sleep(min(max(self._early, 0), 1))
            if self._early > 0:
                continue
            self.pulled = time.monotonic()
            try:
                chunk = await self._call("next_chunk")
            except Broken as error:
                LOG.error("the stream %s broke: %s", self.id, error.trace or error)
                raise Refused(message=str(error), status=500, code="generation_failed") from error
            if chunk is None:
                return
            yield chunk

    async def change(self, change: Change) -> None:
        """Refused for what cannot be: the stream then goes on as it was."""
        names = {"prompt": change.prompt, "guidance": change.guidance_scale, "bpm": change.bpm}
        changes = {name: value for name, value in names.items() if value is not None}
        await self._call("change_stream", changes)

    def shown(self) -> dict[str, Any]:
        """Where it is, and what was heard from which second on."""
        return {"id": self.id, "object": "audio.stream", **self.facts}

    @property
    def _early(self) -> float:
        """Seconds that more is made of it than is wanted by now."""
        return self.facts["seconds_made"] - (time.monotonic() - self.began) - self.ahead

    async def _call(self, name: str, *args: Any) -> Any:
        try:
            value = await run_in_threadpool(self.worker.studio.call, name, self.id, *args, again=False)
        except Gone as error:
            said = "the stream ended with the process that made it: begin another"
            raise Refused(message=said, status=503, code="stream_lost", after=5) from error
        chunk, self.facts = value if isinstance(value, tuple) else (None, value)
        return chunk


class Streams:
    """All that run, no more at once than the limits say."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service, self._metrics = service, metrics
        self._running: dict[str, Running | None] = {}

    async def begin(self, asked: Asked) -> Running:
        """Refused if there are as many already, or it cannot be made."""
        name, limits = f"stream_{secrets.token_hex(12)}", self._service.limits
        for running in [running for running in self._running.values() if running is not None and running.stuck]:
            self.end(running)
        if len(self._running) >= limits.streams:
            said = f"{limits.streams} streams run already, as many as may"
            raise Refused(message=said, status=429, code="streams_full", after=10)
        self._running[name] = None  # its place is taken while it is prepared
        try:
            running = await run_in_threadpool(self._prepared, name, asked)
        except BaseException:
            del self._running[name]
            raise
        running.worker.streams += 1
        self._running[name] = running
        self._metrics.streams.set(len(self._running))
        return running

    def end(self, running: Running) -> None:
        running.stop.set()
        running.worker.studio.tell("close_stream", running.id)
        if self._running.pop(running.id, None) is not None:  # it may end twice: for its client, and for being stuck
            running.worker.streams -= 1
        self._metrics.streams.set(len(self._running))

    def find(self, name: str) -> Running:
        running = self._running.get(name)
        if running is None:
            raise missing("stream", name)
        return running

    async def change(self, running: Running, change: Change) -> None:
        check_words(self._service.limits, change.prompt)
        await running.change(change)

    def stop_all(self) -> None:
        for running in self._running.values():
            if running is not None:
                running.stop.set()

    def _prepared(self, name: str, asked: Asked) -> Running:
        service, limits = self._service, self._service.limits
        offer = service.models.find(asked.model, "audio")
        check_words(limits, asked.prompt, asked.negative_prompt)
        if asked.seconds is not None and asked.seconds > limits.stream_seconds:
            said = f"a stream lasts {limits.stream_seconds:g} s at most, not {asked.seconds:g}"
            raise Refused(message=said, code="limit_exceeded", param="seconds")
        if asked.n != 1 or (asked.steps or 1) > limits.steps:
            raise Refused(message=f"a stream has n 1, and steps up to {limits.steps}", code="limit_exceeded")
        if asked.lora:
            raise Refused(message="a stream takes no lora", param="lora")
        options = {key: value for key, value in asked.walk.items() if key != "n" and value is not None}
        options |= {"seconds": asked.seconds or limits.stream_seconds, "bpm": asked.bpm}
        called = (name, offer.name, asked.prompt, asked.output_format, options)
        try:
            worker = service.workers.for_streams(offer.name)
            facts = worker.studio.call("open_stream", *called)
            worker.warmed(offer.name)
        except Gone as error:
            said = "the process of the models ended and is started again: try again"
            raise Refused(message=said, status=503, code="restarting", after=5) from error
        return Running(id=name, worker=worker, facts=facts, ahead=service.settings.ahead)


# ---- HTTP


@router.post("/audio/stream", openapi_extra=documented(Asked), response_class=Response)
async def stream(request: Request) -> Response:
    """Music in chunks, as it is made. The header x-stream-id names it for those who change or stop it."""
    asked = await read(request, Asked)
    running = await request.app.state.streams.begin(asked)
    about = {"x-stream-id": running.id, "x-seed": str(running.facts["seed"]), "cache-control": "no-store"}
    about |= {"x-rate": str(running.facts["rate"]), "x-channels": str(running.facts["channels"])}
    media_type = TYPES_OF_STREAMS[asked.output_format]
    return StreamingResponse(_heard(request.app.state.streams, running), media_type=media_type, headers=about)


async def _heard(streams: Streams, running: Running) -> AsyncIterator[bytes]:
    try:
        async for chunk in running.bytes():
            yield chunk
    finally:
        streams.end(running)


@router.get("/audio/stream/{stream_id}")
async def shown(request: Request, stream_id: Name) -> Any:
    return request.app.state.streams.find(stream_id).shown()


@router.post("/audio/stream/{stream_id}", openapi_extra=documented(Change))
async def changed(request: Request, stream_id: Name) -> Any:
    """Another prompt, guidance or tempo, heard from the next window on."""
    streams: Streams = request.app.state.streams
    running = streams.find(stream_id)
    await streams.change(running, await read(request, Change))
    return running.shown()


@router.delete("/audio/stream/{stream_id}")
async def stopped(request: Request, stream_id: Name) -> Any:
    running = request.app.state.streams.find(stream_id)
    running.stop.set()
    return {"id": running.id, "object": "audio.stream.deleted", "deleted": True}


# ---- WebSocket


@router.websocket("/audio/stream")
async def conversation(socket: WebSocket) -> None:
    """The client says what it would hear ({"prompt": ...}, as over HTTP) and may say {"prompt": ...},
    {"guidance_scale": ...}, {"bpm": ...} or {"type": "stop"} at any time. It is told {"type": "start", ...}, then gets
    sound in binary messages (pcm unless it asks for another format), {"type": "changed"} after each change,
    {"type": "error", "error": ...} for what cannot be, and {"type": "end"}."""
    await socket.accept()
    streams: Streams = socket.app.state.streams
    try:
        running = await streams.begin(fitted(Asked, {"output_format": "pcm", **await _message(socket)}))
    except Refused as error:
        await _closed(socket, {"type": "error", **error.body})
        return
    except WebSocketDisconnect:
        return
    await _talk(socket, streams, running)


async def _talk(socket: WebSocket, streams: Streams, running: Running) -> None:
    """Sound goes out while changes come in; either side may end it."""
    heard = asyncio.create_task(_follow(socket, streams, running))
    try:
        await socket.send_json({"type": "start", **running.shown()})
        async for chunk in running.bytes():
            await socket.send_bytes(chunk)
        await _closed(socket, {"type": "end", **running.shown()})
    except Refused as error:
        await _closed(socket, {"type": "error", **error.body})
    except (WebSocketDisconnect, RuntimeError):  # gone while it was told something
        pass
    finally:
        heard.cancel()
        streams.end(running)


async def _follow(socket: WebSocket, streams: Streams, running: Running) -> None:
    try:
        while True:
            try:
                said = await _message(socket)
                if said.get("type") == "stop":
                    running.stop.set()
                    return
                await streams.change(running, fitted(Change, said))
                await socket.send_json({"type": "changed", **running.shown()})
            except Refused as error:
                await socket.send_json({"type": "error", **error.body})
    except (WebSocketDisconnect, RuntimeError):
        running.stop.set()


async def _message(socket: WebSocket) -> dict[str, Any]:
    """What the client says. Refused if it is no JSON object."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    try:
        return parsed((message.get("text") or "").encode())
    except ValueError as error:
        said = f'{error}: say it as a JSON object, such as {{"prompt": "slow jazz"}}'
        raise Refused(message=said, code="invalid_json") from error


async def _closed(socket: WebSocket, last: dict[str, Any]) -> None:
    await socket.send_json(last)
    await socket.close()
