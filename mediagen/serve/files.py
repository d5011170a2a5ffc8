"""Files that clients leave here to begin from: kept as what they decode to."""

import secrets
import time
from pathlib import Path as Place
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from .answers import file_of
from .errors import Refused, missing
from .fields import Given, documented, read
from .media import MODALITY
from .records import Kept
from .service import Service
from .uploads import kind_of, stored

router = APIRouter(prefix="/v1", tags=["files"])
PURPOSES = ("vision", "user_data", "assistants", "batch", "fine-tune", "evals")


class Upload(BaseModel):
    """purpose: OpenAI's; all are kept alike. kind: what the file is, else told by its first bytes."""

    model_config = ConfigDict(extra="forbid")

    file: Given = None
    purpose: Annotated[str, Field(max_length=32)] = "user_data"
    kind: Annotated[str | None, Field(max_length=10)] = None


Name = Annotated[str, Path(max_length=64)]


@router.post("/files", openapi_extra=documented(Upload, form=True))
async def upload(request: Request) -> Any:
    """Keep a picture, a sound or a film. It is decoded at once, and refused if that cannot be done within limits. A
    file of the purpose "batch" is kept as it is, and read when its batch is made."""
    service: Service = request.app.state.service
    body = await read(request, Upload)
    if body.purpose not in PURPOSES:
        raise Refused(message=f"purpose must be one of {', '.join(PURPOSES)}", param="purpose")
    if not hasattr(body.file, "read"):
        raise Refused(message="file is missing", code="missing_required_parameter", param="file")
    content = await body.file.read()
    await run_in_threadpool(_check_room, service, len(content))
    if body.purpose == "batch":
        place = await run_in_threadpool(_stored, service, content)
    else:
        place = await stored(service, content, _modality(content, body.kind), "file")
    return _object(await run_in_threadpool(_kept, service, place, str(body.file.filename or "file"), body.purpose))


@router.get("/files")
def listed(
    request: Request,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    purpose: Annotated[str | None, Query(max_length=32)] = None,
    order: Literal["asc", "desc"] = "desc",
) -> Any:
    """The newest first, or the oldest (asc), after the one named `after`."""
    wanted = {"purpose": purpose, "after": after, "limit": limit + 1, "oldest": order == "asc"}
    kept = request.app.state.service.store.all_kept(**wanted)
    data = [_object(one) for one in kept[:limit]]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": len(kept) > limit, **ends}


@router.get("/files/{file_id}")
def one(request: Request, file_id: Name) -> Any:
    return _object(_found(request, file_id))


@router.get("/files/{file_id}/content", response_class=Response)
def content(request: Request, file_id: Name) -> Response:
    """What was decoded of the file: PNG, WAV or Matroska; or the lines of a batch."""
    kept = _found(request, file_id)
    format = Place(kept.place).suffix[1:]
    return file_of(request.app.state.service.media.folder / kept.place, format, f"{kept.id}.{format}")


@router.delete("/files/{file_id}")
def remove(request: Request, file_id: Name) -> Any:
    """Refused while a job that is not over begins from it."""
    service: Service = request.app.state.service
    kept = _found(request, file_id)
    if service.store.uses(kept.place):
        raise Refused(message="a job that is not over begins from this file", status=409, code="in_use")
    service.store.drop(kept.id)
    service.media.remove(kept.place)
    return {"id": kept.id, "object": "file", "deleted": True}


def _found(request: Request, name: str) -> Kept:
    kept = request.app.state.service.store.kept(name)
    if kept is None:
        raise missing("file", name)
    return kept


def _stored(service: Service, content: bytes) -> str:
    """The lines of a batch as they are, whole or not at all."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        said = "the file of a batch is UTF-8 text, a JSON object a line"
        raise Refused(message=said, code="invalid_file", param="file") from error
    place = service.media.new(".jsonl")
    part = place.with_name(f".{place.name}.partial")
    try:
        part.write_bytes(content)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return place.name


def _check_room(service: Service, more: int) -> None:
    kept, most = service.store.bytes_kept(), service.limits.files
    if kept + more > most:
        said = f"{kept} bytes of files are kept, at most {most} are: delete some"
        raise Refused(message=said, status=413, code="storage_full")


def _modality(content: bytes, kind: str | None) -> str:
    """What a file holds, as is said or by its first bytes."""
    if kind in ("image", "audio", "video"):
        return kind
    if kind is not None:
        raise Refused(message="kind must be image, audio or video", param="kind")
    return kind_of(content)


def _kept(service: Service, place: str, name: str, purpose: str) -> Kept:
    size = (service.media.folder / place).stat().st_size
    about = {"place": place, "bytes": size, "created": time.time()}
    name = "".join(letter for letter in name if letter.isprintable())[:200] or "file"
    return service.store.keep(Kept(id=f"file-{secrets.token_hex(12)}", name=name, purpose=purpose, **about))


def _object(kept: Kept) -> dict[str, Any]:
    about = {"created_at": int(kept.created), "filename": kept.name, "purpose": kept.purpose, "status": "processed"}
    kind = MODALITY[Place(kept.place).suffix]
    return {"id": kept.id, "object": "file", "bytes": kept.bytes, "kind": kind, **about}
