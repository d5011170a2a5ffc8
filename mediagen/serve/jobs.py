"""Jobs themselves: where they are, events as they happen, cancelling, results; and the models that make them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from .answers import content, event, file_of, job_object, progress_of, results, streamed
from .errors import missing
from .media import FORMATS, picture_of
from .models import Offer
from .records import Record
from .service import Service, done
from .videos import video_object

router = APIRouter(prefix="/v1", tags=["jobs"])
Name = Annotated[str, Path(max_length=64)]


def found(request: Request, name: str) -> Record:
    """A job by its id, which is a key of a table and nothing else."""
    record = request.app.state.service.store.get(name)
    if record is None:
        raise missing("job", name)
    return record


@router.get("/models", tags=["models"])
def models(request: Request) -> Any:
    """What this server can make with what."""
    offers = request.app.state.service.models.offers
    return {"object": "list", "data": [_model(offer) for offer in offers]}


@router.get("/models/{model:path}", tags=["models"])
def model(request: Request, model: Annotated[str, Path(max_length=200)]) -> Any:
    for offer in request.app.state.service.models.offers:
        if offer.name == model:
            return _model(offer)
    raise missing("model", model)


def _model(offer: Offer) -> dict[str, Any]:
    created = int(offer.made)
    told = ("size", "seconds", "rate", "boundary", "summary", "licence")
    about = {key: offer.card[key] for key in told if key in offer.card}
    facts = {"modality": offer.modality, "tasks": offer.tasks, "takes": offer.takes}
    facts |= {"defaults": offer.card.get("defaults", {}), **about}
    return {"id": offer.name, "object": "model", "created": created, "owned_by": "mediagen", **facts}


@router.get("/jobs")
def listed(
    request: Request,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    status: Literal["queued", "running", "done", "failed", "cancelled"] | None = None,
    modality: Literal["image", "audio", "video"] | None = None,
) -> Any:
    """The newest first, after the one named `after`."""
    service: Service = request.app.state.service
    records = service.store.all(state=status, modality=modality, after=after, limit=limit + 1)
    data = [job_object(service, request, record) for record in records[:limit]]
    return {"object": "list", "data": data, "has_more": len(records) > limit}


@router.get("/jobs/{job_id}", name="job")
def job(request: Request, job_id: Name) -> Any:
    return job_object(request.app.state.service, request, found(request, job_id))


@router.post("/jobs/{job_id}/cancel")
async def cancel(request: Request, job_id: Name) -> Any:
    """Cancelled at once if it waits, before its next step if it runs; what is over stays as it is."""
    service: Service = request.app.state.service
    record = await run_in_threadpool(found, request, job_id)
    await service.cancel(record.id)
    return job_object(service, request, await run_in_threadpool(found, request, job_id))


@router.delete("/jobs/{job_id}")
async def remove(request: Request, job_id: Name) -> Any:
    """The job with its results; one that is not over is cancelled first."""
    record = await run_in_threadpool(found, request, job_id)
    await request.app.state.service.remove(record)
    return {"id": record.id, "object": "job.deleted", "deleted": True}


@router.get("/jobs/{job_id}/events")
async def events(request: Request, job_id: Name) -> Response:
    """Server-sent events: "progress" with step, total, seconds left and a link to the preview; the last one is named
    after the state that it ended in."""
    record = await run_in_threadpool(found, request, job_id)
    return streamed(_events(request, record))


async def _events(request: Request, record: Record) -> AsyncIterator[bytes]:
    service: Service = request.app.state.service
    async for progress in service.watch(record.id):
        if progress.state in ("queued", "running"):
            about = {"id": record.id, "status": progress.state, **progress_of(progress)}
            if progress.preview:
                about["preview"] = f"{request.url_for('preview', job_id=record.id)}?step={progress.step}"
            yield event("progress", about)
    now = await run_in_threadpool(service.store.get, record.id)
    if now is not None:
        yield event(now.state, job_object(service, request, now))


@router.get("/jobs/{job_id}/answer")
async def answer(request: Request, job_id: Name) -> Response:
    """What its endpoint answers to who waits: refused as it would be, and until the job is over."""
    service: Service = request.app.state.service
    record = done(await run_in_threadpool(found, request, job_id))
    if record.endpoint.startswith("videos."):
        return JSONResponse(await run_in_threadpool(video_object, service, record))
    form, format = record.about.get("response_format"), record.about.get("output_format")
    form, format = "url" if form == "url" else "b64_json", format or FORMATS[record.modality][0]
    return await results(service, request, record, form, format, record.about.get("output_compression"))


@router.get("/jobs/{job_id}/preview", name="preview", response_class=Response)
async def preview(request: Request, job_id: Name, number: Annotated[int, Query(ge=0, le=1024)] = 0) -> Response:
    """What a running job looks like by now, a small PNG."""
    record = await run_in_threadpool(found, request, job_id)
    progress = request.app.state.service.board.last(record)
    if number >= len(progress.preview):
        raise missing(f"preview of {record.id},", str(number))
    picture = await run_in_threadpool(picture_of, progress.preview[number], ())
    return Response(picture, media_type="image/png", headers={"cache-control": "no-store"})


@router.get("/jobs/{job_id}/results/{number}", name="result_of_job", response_class=Response)
async def result(
    request: Request,
    job_id: Name,
    number: Annotated[int, Path(ge=0, le=1024)],
    format: Annotated[str | None, Query(max_length=10)] = None,
    quality: Annotated[int | None, Query(ge=1, le=100)] = None,
) -> Response:
    """A result as a file, in its own format or the one asked for."""
    service: Service = request.app.state.service
    record = await run_in_threadpool(found, request, job_id)
    format = format or {"image": "png", "audio": "flac", "video": "mp4"}[record.modality]
    path = await content(service, record, number, format, quality)
    return file_of(path, format, f"{record.id}-{number}.{format}")
