"""OpenAI's batches: a file of many requests, worked off while there is room, answered with a file."""

import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from .batch_records import Batch
from .errors import Refused, missing
from .fields import documented, parsed, read
from .limits import Limits
from .service import Service

router = APIRouter(prefix="/v1", tags=["batches"])
Name = Annotated[str, Path(max_length=64)]
IMAGES, AUDIO = ("generations", "edits", "variations"), ("generations", "edits", "extensions", "variations")
VIDEOS = ("/v1/videos", "/v1/videos/edits", "/v1/videos/extensions")
ENDPOINTS = (*(f"/v1/images/{name}" for name in IMAGES), *VIDEOS, *(f"/v1/audio/{name}" for name in AUDIO))
WINDOWS = {"24h": 86_400}  # seconds in which a batch is worked at
ENDED = ("completed", "failed", "expired", "cancelled")
TOLD = 20  # errors of a file that are told at most
BLANK = 10  # lines of a file for each that may say something


class Asked(BaseModel):
    """input_file_id: of a file of the purpose "batch", a JSON object a line: {"custom_id", "method": "POST", "url": the
    endpoint, "body"}."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: Annotated[str, Field(max_length=64)]
    endpoint: Annotated[str, Field(max_length=64)]
    completion_window: Literal["24h"] = "24h"
    metadata: Annotated[dict[str, Annotated[str, Field(max_length=512)]] | None, Field(max_length=16)] = None


@router.post("/batches", openapi_extra=documented(Asked))
async def create(request: Request) -> Any:
    """Every line becomes a job, a few at a time, as long as there is room in the queue. A file with a wrong line is a
    batch that failed, with what is wrong with it."""
    body = await read(request, Asked)
    if body.endpoint not in ENDPOINTS:
        said = f"endpoint must be one of {', '.join(ENDPOINTS)}, not {body.endpoint!r}"
        raise Refused(message=said, param="endpoint")
    batch = await run_in_threadpool(_created, request.app.state.service, body, str(request.base_url)[:300])
    request.app.state.runner.wake()
    return await run_in_threadpool(shown, request.app.state.service, batch)


@router.get("/batches")
def listed(
    request: Request,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Any:
    """The newest first, after the one named `after`."""
    service: Service = request.app.state.service
    found = service.batches.all(after=after, limit=limit + 1)
    data = [shown(service, batch) for batch in found[:limit]]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": len(found) > limit, **ends}


@router.get("/batches/{batch_id}")
def one(request: Request, batch_id: Name) -> Any:
    return shown(request.app.state.service, found(request, batch_id))


@router.post("/batches/{batch_id}/cancel")
def cancel(request: Request, batch_id: Name) -> Any:
    """What is done of it stays; the rest is not made. Refused for one that is over."""
    service: Service = request.app.state.service
    batch = found(request, batch_id)
    if not service.batches.move(batch.id, "cancelling", "in_progress") and batch.status != "cancelling":
        raise Refused(message=f"the batch is {batch.status} already", status=409, code="batch_over")
    request.app.state.runner.wake()
    return shown(service, found(request, batch_id))


def found(request: Request, name: str) -> Batch:
    batch = request.app.state.service.batches.get(name)
    if batch is None:
        raise missing("batch", name)
    return batch


def shown(service: Service, batch: Batch) -> dict[str, Any]:
    """A batch as OpenAI's clients know it."""
    times = {status: int(at) for status, at in batch.times.items()}
    names = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    errors = {"object": "list", "data": list(batch.errors)} if batch.errors else None
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "status": batch.status,
        "errors": errors,
        "input_file_id": batch.input_file,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "completion_window": batch.window,
        "created_at": times["created"],
        "expires_at": times["created"] + WINDOWS[batch.window],
        **{f"{name}_at": times.get(name) for name in names},
        "request_counts": service.batches.counts(batch.id),
        "metadata": dict(batch.metadata) or None,
    }


def _created(service: Service, body: Asked, base: str) -> Batch:
    kept = service.store.kept(body.input_file_id)
    if kept is None or kept.purpose != "batch" or not kept.place.endswith(".jsonl"):
        said = f"there is no file {body.input_file_id!r} of the purpose batch"
        raise Refused(message=said, status=404, code="not_found", param="input_file_id")
    content = (service.media.folder / kept.place).read_bytes()
    lines, errors = read_lines(content, body.endpoint, service.limits)
    status, now = "failed" if errors else "in_progress", time.time()
    batch = Batch(
        id=f"batch_{secrets.token_hex(12)}",
        endpoint=body.endpoint,
        status=status,
        input_file=kept.id,
        window=body.completion_window,
        base=base,
        metadata=body.metadata or {},
        errors=errors,
        times={"created": now, status: now},
    )
    return service.batches.add(batch, [] if errors else lines)


def read_lines(
    content: bytes, endpoint: str, limits: Limits
) -> tuple[list[tuple[str, Mapping[str, Any]]], list[dict[str, Any]]]:
    """(custom id, body) of each line, and what is wrong with the file, at most the first of it."""
    if content.count(b"\n") > BLANK * limits.lines:
        return [], [_wrong(None, f"the file has more than {BLANK * limits.lines} lines, most of them empty")]
    rows = [(number, row) for number, row in enumerate(content.split(b"\n"), 1) if row.strip()]
    if not 0 < len(rows) <= limits.lines:
        return [], [_wrong(None, f"the file has {len(rows)} lines; it must have 1 to {limits.lines}")]
    lines: dict[str, Mapping[str, Any]] = {}
    errors: list[dict[str, Any]] = []
    for number, row in rows:
        try:
            if len(row) > limits.text:
                raise ValueError(f"the line has {len(row)} bytes, at most {limits.text} are read")
            custom, asked = _line(row, endpoint)
            if custom in lines:
                raise ValueError(f"the custom_id {custom[:80]!r} is there more than once")
            lines[custom] = asked
        except ValueError as error:
            errors.append(_wrong(number, str(error)))
    return list(lines.items()), errors[:TOLD]


def _line(row: bytes, endpoint: str) -> tuple[str, Mapping[str, Any]]:
    said = parsed(row, "the line")
    if set(said) - {"custom_id", "method", "url", "body"}:
        raise ValueError("a line is an object with custom_id, method, url and body")
    custom, asked = said.get("custom_id"), said.get("body")
    if not isinstance(custom, str) or not 0 < len(custom) <= 512 or not custom.isprintable():
        raise ValueError("custom_id must be a text of 1 to 512 characters")
    if said.get("method") != "POST" or said.get("url") != endpoint:
        raise ValueError(f'method must be "POST" and url the endpoint of the batch, {endpoint}')
    if not isinstance(asked, dict) or asked.get("stream") or not asked.get("wait", True):
        raise ValueError("body must be an object; stream and wait mean nothing in a batch")
    return custom, asked


def _wrong(line: int | None, message: str) -> dict[str, Any]:
    return {"code": "invalid_line" if line else "invalid_file", "line": line, "message": message, "param": None}
