"""OpenAI's videos: jobs that are asked for, looked at, and fetched when they are done."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import Field, field_validator

from .adapted import Adapted, put
from .answers import STATUS, content, file_of, percent
from .errors import Refused, missing
from .fields import Given, Timeline, Words, documented, read, size_of
from .media import FORMATS
from .records import Record
from .service import Asked, Service, done
from .uploads import given

router = APIRouter(prefix="/v1", tags=["videos"])
Name = Annotated[str, Path(max_length=64)]
ENDPOINTS = ("videos.create", "videos.remix", "videos.edits", "videos.extensions")
POLL = {"openai-poll-after-ms": "500"}  # what OpenAI's poll helper reads


class Film(Adapted):
    """seconds: of the clip; fps and num_frames say the same in frames. input_reference: the picture that it begins
    with; last: the one that it ends with. A prompt may be a timeline [[second, text], ...]."""

    prompt: Words | Timeline
    seconds: Annotated[float | None, Field(gt=0, le=100_000)] = None
    size: Annotated[str | None, Field(max_length=20)] = None
    input_reference: Given = None
    last: Given = None
    fps: Annotated[float | None, Field(gt=0, le=1000)] = None
    num_frames: Annotated[int | None, Field(ge=1, le=100_000)] = None
    motion: Annotated[float | None, Field(ge=0, le=1)] = None
    loop: bool = False

    @field_validator("seconds", "size", "fps", "num_frames", mode="before")
    @classmethod
    def _left_out(cls, value: Any) -> Any:
        return None if value == "" else value


class Remix(Adapted):
    prompt: Words
    strength: Annotated[float, Field(gt=0, le=1)] = 0.6


class Edit(Adapted):
    """video: a film, or the id of one; mask: a picture that is white where the film is made anew; start, end: the
    seconds that this is done in. With neither it is varied by `strength`."""

    prompt: Words
    video: Given = None
    mask: Given = None
    start: Annotated[float | None, Field(ge=0)] = None
    end: Annotated[float | None, Field(gt=0)] = None
    strength: Annotated[float | None, Field(gt=0, le=1)] = None


class Extension(Adapted):
    """seconds: how much is put after the film; left: before it."""

    prompt: Words
    video: Given = None
    seconds: Annotated[float, Field(ge=0, le=100_000)]
    left: Annotated[float, Field(ge=0, le=100_000)] = 0.0


@router.post("/videos", openapi_extra=documented(Film, form=True))
async def create(request: Request) -> Response:
    """A clip from text and, if given, the pictures that it begins and ends with. Answered at once; the clip is made
    whether or not anyone waits for it."""
    body, service = await read(request, Film), request.app.state.service
    first = await given(request, body.input_reference, "image", "input_reference", required=False)
    last = await given(request, body.last, "image", "last", required=False)
    sources = {name: place for name, place in (("first", first), ("last", last)) if place is not None}
    options = {"prompt": body.prompt, "size": size_of(body.size), "fps": body.fps, "motion": body.motion, **body.walk}
    options |= {"seconds": _seconds(service, body), "loop": body.loop or None}
    return await _submitted(request, "videos.create", body, options, sources)


@router.get("/videos")
def listed(
    request: Request,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Any:
    """The newest first, or the oldest (asc), after the one named `after`."""
    service: Service = request.app.state.service
    records = service.store.all(endpoints=ENDPOINTS, after=after, limit=limit + 1, oldest=order == "asc")
    data = [video_object(service, record) for record in records[:limit]]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": len(records) > limit, **ends}


@router.post("/videos/edits", openapi_extra=documented(Edit, form=True))
async def edits(request: Request) -> Response:
    """A film made anew: where the mask is white, or between two seconds, or all of it."""
    body = await read(request, Edit)
    start = await given(request, body.video, "video", "video")
    mask = await given(request, body.mask, "image", "mask", required=False)
    if (body.start is None) != (body.end is None):
        raise Refused(message="start and end go together: the frames between them are made anew", param="start")
    between = None if body.start is None else [body.start, body.end]
    strength = body.strength or (0.6 if mask is None and between is None else 1.0)
    sources = {"start": start} | ({} if mask is None else {"mask": mask})
    options = {"prompt": body.prompt, "between": between, "strength": strength, **body.walk}
    return await _submitted(request, "videos.edits", body, options, sources)


@router.post("/videos/extensions", openapi_extra=documented(Extension, form=True))
async def extensions(request: Request) -> Response:
    """A film with more after or before it; each of its pixels stays as it is."""
    body = await read(request, Extension)
    start = await given(request, body.video, "video", "video")
    options = {"prompt": body.prompt, "left": body.left, "right": body.seconds, **body.walk}
    return await _submitted(request, "videos.extensions", body, options, {"start": start})


@router.get("/videos/{video_id}")
def retrieve(request: Request, video_id: Name) -> Response:
    service: Service = request.app.state.service
    return JSONResponse(video_object(service, _found(request, video_id)), headers=POLL)


@router.delete("/videos/{video_id}")
async def remove(request: Request, video_id: Name) -> Any:
    """The clip and its job; one that is being made is cancelled first."""
    record = await run_in_threadpool(_found, request, video_id)
    await request.app.state.service.remove(record)
    return {"id": record.id, "object": "video.deleted", "deleted": True}


@router.get("/videos/{video_id}/content", response_class=Response)
async def fetched(
    request: Request,
    video_id: Name,
    variant: Literal["video", "thumbnail", "spritesheet"] = "video",
    format: Annotated[str, Query(max_length=10)] = "mp4",
    number: Annotated[int, Query(ge=0, le=1024)] = 0,
) -> Response:
    """The clip as a film, its first frame (WebP), or frames of it side by side (JPEG)."""
    service: Service = request.app.state.service
    record = done(await run_in_threadpool(_found, request, video_id))
    if variant == "video":
        if format not in FORMATS["video"]:
            raise Refused(message=f"format must be one of {', '.join(FORMATS['video'])}", param="format")
        path = await content(service, record, number, format)
        return file_of(path, format, f"{record.id}.{format}")
    if number >= len(record.results):
        raise missing(f"result of {record.id},", str(number))
    return await run_in_threadpool(_still, service, record.results[number], variant)


@router.post("/videos/{video_id}/remix", openapi_extra=documented(Remix))
async def remix(request: Request, video_id: Name) -> Response:
    """A clip made anew from another one, as another prompt says."""
    body = await read(request, Remix)
    source = done(await run_in_threadpool(_found, request, video_id))
    options = {"prompt": body.prompt, "strength": body.strength, **body.walk}
    model = body.model or source.model
    sources, about = {"start": source.results[0]}, {"remixed_from": source.id}
    asked = {"model": model, "options": options, "sources": sources, "about": about}
    return await _queued(request, body, Asked(endpoint="videos.remix", modality="video", **asked))


def _still(service: Service, place: str, variant: str) -> FileResponse:
    path = service.media.still(place, variant)
    if not path.exists():
        service.lab.call("draw", place, variant)
    return file_of(path, path.suffix[1:], f"{variant}{path.suffix}")


def _seconds(service: Service, body: Film) -> float | None:
    """Of the clip, however its length is said."""
    if body.num_frames is None:
        return body.seconds
    if body.seconds is not None:
        raise Refused(message="seconds and num_frames say the same: leave out one", param="num_frames")
    return body.num_frames / (body.fps or float(service.models.find(body.model, "video").card["rate"]))


async def _submitted(
    request: Request, endpoint: str, body: Adapted, options: dict[str, Any], sources: dict[str, str]
) -> Response:
    asked = {"model": body.model, "options": options, "sources": sources}
    return await _queued(request, body, Asked(endpoint=endpoint, modality="video", **asked))


async def _queued(request: Request, body: Adapted, asked: Asked) -> Response:
    service: Service = request.app.state.service
    record = await service.submit(await put(request, body, asked))
    return JSONResponse(video_object(service, record), headers=POLL)


def _found(request: Request, name: str) -> Record:
    record = request.app.state.service.store.get(name)
    if record is None or record.modality != "video":
        raise missing("video", name)
    return record


def video_object(service: Service, record: Record) -> dict[str, Any]:
    """A job in OpenAI's shape; its states know no cancelling, which is a failure there."""
    failed = {"failed": (record.code, record.reason), "cancelled": ("cancelled", "the job was cancelled")}
    error = failed.get(record.state)
    prompt = record.asked["prompt"]
    return {
        "id": record.id,
        "object": "video",
        "model": record.model,
        "status": STATUS[record.state],
        "progress": percent(service.board.last(record)),
        "created_at": int(record.created),
        "completed_at": int(record.finished) if record.state == "done" and record.finished else None,
        "expires_at": None,
        "prompt": prompt if isinstance(prompt, str) else None,
        "seconds": f"{record.about['seconds']:g}",
        "size": "x".join(map(str, record.about["size"])),
        "remixed_from_video_id": record.about.get("remixed_from"),
        "error": None if error is None else {"code": error[0], "message": error[1]},
        "seed": record.asked["seed"],
    }
