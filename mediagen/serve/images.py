"""OpenAI's images: generations, edits, variations; whole, or as events with previews."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from anyio import CancelScope
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import Field, field_validator

from .adapted import Refined, put
from .answers import accepted, content, event, results, streamed
from .errors import Refused
from .fields import Given, Words, documented, read, size_of
from .media import picture_of
from .records import Record
from .service import Asked, Service, done, now
from .uploads import given

router = APIRouter(prefix="/v1", tags=["images"])


class Pictures(Refined):
    """What all three take. background, quality, style and the like are OpenAI's and mean nothing here. frame_count: of
    an animated GIF, which a model of video makes; frame_duration_ms: of each of its frames."""

    size: Annotated[str | None, Field(max_length=20)] = None
    output_format: Literal["png", "webp", "jpeg", "gif"] = "png"
    output_compression: Annotated[int | None, Field(ge=0, le=100)] = None
    frame_count: Annotated[int | None, Field(ge=2, le=64)] = None
    frame_duration_ms: Annotated[int | None, Field(ge=10, le=655_350)] = None
    response_format: Literal["b64_json", "url"] = "b64_json"
    stream: bool = False
    partial_images: Annotated[int, Field(ge=0, le=3)] = 0
    background: Literal["auto", "opaque"] | None = None
    quality: Annotated[str | None, Field(max_length=20)] = None
    moderation: Literal["auto", "low"] | None = None
    style: Annotated[str | None, Field(max_length=20)] = None
    complexity: Annotated[str | None, Field(max_length=20)] = None

    @field_validator("output_format", "response_format", "stream", "partial_images", mode="before")
    @classmethod
    def _left_out(cls, value: Any, info: Any) -> Any:
        """OpenAI's clients may write null for what they leave out."""
        return cls.model_fields[info.field_name].default if value in (None, "") else value

    @property
    def compression(self) -> int | None:
        """1..100 of a WebP or JPEG; 100 is the best."""
        return None if self.output_compression is None else max(self.output_compression, 1)

    @property
    def moves(self) -> bool:
        """Whether it is a clip that is asked for."""
        return self.frame_count is not None or self.frame_duration_ms is not None


class Generation(Pictures):
    """loop: a tile, whose right edge goes on with its left one and its lower with its upper one."""

    prompt: Words
    loop: bool = False


class Edit(Pictures):
    prompt: Words
    image: Given = None
    mask: Given = None
    input_fidelity: Literal["high", "low"] | None = None
    strength: Annotated[float | None, Field(gt=0, le=1)] = None


class Variation(Pictures):
    """prompt: what OpenAI's variations do not have; a picture of nothing in particular is varied without it."""

    image: Given = None
    prompt: Words = "a picture"
    strength: Annotated[float | None, Field(gt=0, le=1)] = None


@router.post("/images/generations", openapi_extra=documented(Generation))
async def generations(request: Request) -> Response:
    """Pictures from text."""
    body = await read(request, Generation)
    loop = [-2, -1] if body.loop else None
    options = {"prompt": body.prompt, "size": size_of(body.size), "loop": loop, **body.walk}
    return await _answer(request, body, _asked("images.generations", body, options))


@router.post("/images/edits", openapi_extra=documented(Edit, form=True))
async def edits(request: Request) -> Response:
    """A picture made anew where the mask is transparent or, if it has no transparency, white; without a mask, varied by
    `strength` as the prompt says."""
    body, service = await read(request, Edit), request.app.state.service
    start = await given(request, body.image, "image", "image")
    mask = await given(request, body.mask, "image", "mask", required=False)
    hole = await run_in_threadpool(service.lab.call, "hole", mask or start, mask is not None)
    service.discard([mask] if mask and hole != mask else [])
    request.state.given = [*request.state.given, hole] if hole else request.state.given
    strength = _strength(service, body, hole)
    options = {"prompt": body.prompt, "size": size_of(body.size), "strength": strength, **body.walk}
    sources = {"start": start} | ({} if hole is None else {"mask": hole})
    return await _answer(request, body, _asked("images.edits", body, options, sources))


@router.post("/images/variations", openapi_extra=documented(Variation, form=True))
async def variations(request: Request) -> Response:
    """A picture made anew from its noised self: `strength` near 0 keeps it, 1 keeps nothing."""
    body = await read(request, Variation)
    start = await given(request, body.image, "image", "image")
    strength = _strength(request.app.state.service, body, None)
    options = {"prompt": body.prompt, "size": size_of(body.size), "strength": strength, **body.walk}
    return await _answer(request, body, _asked("images.variations", body, options, {"start": start}))


def _strength(service: Service, body: Edit | Variation, hole: str | None) -> float | None:
    """How much is made anew: where nothing is said, of what is masked all. A model that makes pictures larger has its
    own, of the noise that it is shown; a clip has none."""
    if body.strength is not None or body.moves:
        return body.strength
    larger = "upscale" in service.models.find(body.model, "image").tasks
    return None if larger else 0.6 if hole is None else 1.0


def _asked(endpoint: str, body: Pictures, options: dict[str, Any], sources: dict[str, str] | None = None) -> Asked:
    if body.partial_images and not body.stream:
        raise Refused(message="partial_images are of a stream: set stream to true", param="partial_images")
    if body.stream and not body.wait:
        raise Refused(message="a stream is waited for: leave out wait, or stream", param="wait")
    if body.moves:
        return _moving(endpoint, body, options, sources or {})
    about = {"output_format": body.output_format, "response_format": body.response_format}
    about |= {} if body.compression is None else {"output_compression": body.compression}
    options = {"model": body.model, "options": options, "sources": sources or {}, "about": about}
    return Asked(endpoint=endpoint, modality="image", **options)


def _moving(endpoint: str, body: Pictures, options: dict[str, Any], sources: dict[str, str]) -> Asked:
    """An animated GIF: a clip that may begin with a picture."""
    if body.output_format != "gif" or body.frame_count is None or body.stream or "mask" in sources:
        said = "frame_count and frame_duration_ms are of a gif, which is neither streamed nor has a mask"
        raise Refused(message=said, param="frame_count")
    if body.refiner is not None:
        raise Refused(message="refiner is for pictures that do not move: leave it out", param="refiner")
    rate = 1000 / (body.frame_duration_ms or 200)
    options = {name: value for name, value in options.items() if name not in ("strength", "loop")}
    options |= {"seconds": body.frame_count / rate, "fps": rate}
    first = {"first": sources["start"]} if "start" in sources else {}
    asked = {"sources": first, "options": options, "model": body.model}
    about = {"output_format": "gif", "response_format": body.response_format}
    return Asked(endpoint=endpoint, modality="video", about=about, **asked)


async def _answer(request: Request, body: Pictures, asked: Asked) -> Response:
    service: Service = request.app.state.service
    record = await service.submit(await put(request, body, asked))
    if not body.wait:
        return accepted(service, request, record)
    if body.stream:
        return streamed(_events(service, body, record))
    record = await service.finished(record.id, request)
    return await results(service, request, record, body.response_format, body.output_format, body.compression)


async def _events(service: Service, body: Pictures, record: Record) -> AsyncIterator[bytes]:
    """Previews as they come, then the pictures. A client that hangs up cancels the job."""
    name = "image_edit" if record.endpoint == "images.edits" else "image_generation"
    shown = 0
    try:
        async for progress in service.watch(record.id):
            if progress.preview and progress.step >= _due(shown, body.partial_images, progress.total):
                for preview in progress.preview:
                    size = tuple(record.about["size"])
                    picture = await run_in_threadpool(picture_of, preview, size, body.output_format)
                    about = {"partial_image_index": shown}
                    yield event(f"{name}.partial_image", _event(record, body, f"{name}.partial_image", picture, about))
                shown += 1
        record = done(await run_in_threadpool(service.store.get, record.id))
        for number in range(len(record.results)):
            path = await content(service, record, number, body.output_format, body.compression)
            yield event(f"{name}.completed", _event(record, body, f"{name}.completed", path.read_bytes(), _usage()))
    except Refused as error:
        yield event("error", error.body)
    finally:
        with CancelScope(shield=True):  # of a client that hung up nothing more is awaited otherwise
            await service.cancel(record.id)


def _due(shown: int, asked: int, total: int) -> float:
    """The step from which on the next preview is due: evenly spread, the last before the end."""
    return float("inf") if shown >= asked else total * (shown + 1) / (asked + 1)


def _event(record: Record, body: Pictures, kind: str, picture: bytes, about: dict[str, Any]) -> dict[str, Any]:
    from base64 import b64encode

    size = "x".join(map(str, record.about["size"]))
    facts = {"created_at": now(), "size": size, "quality": "auto", "background": "opaque"}
    facts |= {"output_format": body.output_format, "id": record.id}
    return {"type": kind, "b64_json": b64encode(picture).decode(), **facts, **about}


def _usage() -> dict[str, Any]:
    """Nothing is counted in tokens, but clients look for the numbers."""
    return {
        "usage": {
            "input_tokens": 0,
            "output_tokens": 0,
            "total_tokens": 0,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        }
    }
