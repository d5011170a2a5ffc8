"""What is handed out: results in the format that is asked for, jobs as objects, events as they happen."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from .board import Progress
from .media import TYPES, check_format
from .records import Record
from .service import Service, now
from .uploads import place_of

Form = Literal["b64_json", "url"]
STATUS = {"queued": "queued", "running": "in_progress", "done": "completed", "failed": "failed", "cancelled": "failed"}
SSE = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def content(service: Service, record: Record, number: int, format: str, quality: int | None = None) -> Path:
    """The file of a result in a format. Refused if there is none, or it cannot be written so."""
    place = place_of(record, number)
    check_format(record.modality, format, "format")
    path = service.media.copy(place, format, quality)
    if not path.exists():
        await run_in_threadpool(service.lab.call, "write", place, format, quality)
    return path


def file_of(path: Path, format: str, name: str) -> FileResponse:
    """A file of ours. Whatever is in it, a browser takes it for what it is said to be, and runs nothing of it."""
    safe = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox"}
    return FileResponse(path, media_type=TYPES[format], filename=name, content_disposition_type="inline", headers=safe)


async def results(
    service: Service, request: Request, record: Record, form: str, format: str, quality: int | None = None
) -> JSONResponse:
    """The results of a job that is done, as OpenAI's images are: {"created", "data": [{"b64_json" or "url"}], ...}."""
    data = [
        await _one(service, request, record, number, form, format, quality) for number in range(len(record.results))
    ]
    size = "x".join(map(str, record.about["size"])) or None
    about = {"size": size, "seconds": record.about["seconds"]}
    about = {key: value for key, value in about.items() if value is not None}
    job = {"id": record.id, "model": record.model, "seed": record.asked["seed"]}
    return JSONResponse({"created": now(), "data": data, "output_format": format, **about, **job})


async def _one(
    service: Service, request: Request, record: Record, number: int, form: str, format: str, quality: int | None
) -> dict[str, Any]:
    if form == "url":
        return {"url": url_of(request, record, number, format, quality)}
    path = await content(service, record, number, format, quality)
    return {"b64_json": await run_in_threadpool(_base64, path)}


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def url_of(request: Request, record: Record, number: int, format: str, quality: int | None = None) -> str:
    """Where a result may be fetched as long as its job is kept."""
    url = request.url_for("result_of_job", job_id=record.id, number=number)
    query = {"format": format} | ({} if quality is None else {"quality": quality})
    return str(url.include_query_params(**query))


def job_object(service: Service, request: Request, record: Record) -> dict[str, Any]:
    """A job as the jobs API shows it."""
    progress = service.board.last(record)
    failed = None if record.state != "failed" else {"code": record.code, "message": record.reason}
    formats = {"image": "png", "audio": "flac", "video": "mp4"}
    found = [url_of(request, record, n, formats[record.modality]) for n in range(len(record.results))]
    return {
        "id": record.id,
        "object": "job",
        "endpoint": record.endpoint,
        "modality": record.modality,
        "model": record.model,
        "status": record.state,
        "created_at": int(record.created),
        "started_at": record.started and int(record.started),
        "completed_at": record.finished and int(record.finished),
        "asked": record.asked,
        "about": record.about,
        "progress": progress_of(progress),
        "error": failed,
        "results": found,
    }


def progress_of(progress: Progress) -> dict[str, Any]:
    """step of total, seconds left if they are known, percent."""
    left = None if progress.left is None else round(progress.left, 2)
    about = {"stage": progress.stage, "step": progress.step, "total": progress.total, "seconds_left": left}
    return {**about, "percent": percent(progress), "previews": len(progress.preview)}


def percent(progress: Progress) -> int:
    """Walking is nearly all of the work; 100 is kept for what is done."""
    if progress.state == "done":
        return 100
    return min(99, round(100 * progress.step / progress.total)) if progress.total else 0


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def streamed(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers=SSE)


def accepted(service: Service, request: Request, record: Record) -> JSONResponse:
    """The job itself, for who does not wait: it goes on by itself."""
    body = job_object(service, request, record)
    return JSONResponse(body, status_code=202, headers={"location": str(request.url_for("job", job_id=record.id))})
