"""What clients give: pictures, sound and films, decoded within limits and stored anew (`lab`).

Nothing of a name that was given reaches the file system, and nothing of the bytes but what they decode to.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from .errors import Refused, missing, storage_full
from .media import GIVEN, MODALITY
from .process import Gone
from .records import Record
from .service import Service

PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")  # how files of pictures begin; a WebP is a RIFF
FILMS = (b"\x1aE\xdf\xa3", b"RIFF")  # Matroska and WebM; AVI


def kind_of(content: bytes) -> str:
    """What a file holds, by its first bytes."""
    if content.startswith(PICTURES) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        return "image"
    mp4 = content[4:8] == b"ftyp" and content[8:11] != b"M4A"
    return "video" if mp4 or (content.startswith(FILMS) and content[8:12] != b"WAVE") else "audio"


async def given(
    request: Request, value: Any, modality: str | Sequence[str], param: str, *, required: bool = True
) -> str | None:
    """An upload, the id of a file or of a job, or a data: URL -> the name of what it holds in the media folder.
    modality: what it may be; of several an upload is what its first bytes say, if that is one of them."""
    service: Service = request.app.state.service
    request.state.given = [*getattr(request.state, "given", ())]
    modalities = (modality,) if isinstance(modality, str) else tuple(modality)
    if value in (None, ""):
        if required:
            raise Refused(message=f"{param} is missing", code="missing_required_parameter", param=param)
        return None
    if hasattr(value, "read"):
        return await _noted(request, await value.read(), modalities, param)
    value = _named(value, param)
    if value.startswith("data:"):
        return await _noted(request, _decoded(value, param), modalities, param)
    return await run_in_threadpool(_found, service, value, modalities, param)


async def _noted(request: Request, content: bytes, modalities: tuple[str, ...], param: str) -> str:
    """Stored, and taken away again if the request is refused after all."""
    told = kind_of(content) if len(modalities) > 1 else ""
    modality = told if told in modalities else modalities[0]
    place = await stored(request.app.state.service, content, modality, param)
    request.state.given = [*request.state.given, place]
    return place


async def stored(service: Service, content: bytes, modality: str, param: str) -> str:
    """Bytes of a file -> the name of their media, decoded and written anew."""
    return await run_in_threadpool(_stored, service, content, modality, param)


def _named(value: Any, param: str) -> str:
    """An id or a data: URL out of the ways in which clients write them."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("file_id", "id", "image_url", "url") if value.get(key)), None)
    if isinstance(value, dict):
        value = value.get("url")
    if not isinstance(value, str):
        raise Refused(message=f"{param} must be a file, or the id of a file or a job", param=param)
    return value


def _decoded(url: str, param: str) -> bytes:
    head, _, body = url[5:].partition(",")
    if not head.endswith(";base64"):
        raise Refused(message=f"{param}: a data: URL must be in base64", param=param)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(message=f"{param}: the data: URL is no base64", param=param) from error


def _found(service: Service, name: str, modalities: tuple[str, ...], param: str) -> str:
    """Names are looked up, never opened: an id is a key of a table. A job's second result is "img_...:1"."""
    kept = service.store.kept(name)
    job, _, number = name.partition(":")
    record = service.store.get(job) if kept is None else None
    if kept is not None and MODALITY.get(Path(kept.place).suffix) in modalities:
        return kept.place
    if record is not None and record.modality in modalities and record.results:
        if not re.fullmatch(r"[0-9]{0,4}", number):
            raise missing(f"result of {record.id},", number)
        return place_of(record, int(number or 0))
    if kept is None and record is None:
        raise Refused(message=missing("file or job", name).message, status=404, code="not_found", param=param)
    said = f"{param}: {name[:80]!r} holds no {' or '.join(modalities)}"
    raise Refused(message=said, param=param)


def _stored(service: Service, content: bytes, modality: str, param: str) -> str:
    place = service.media.new(GIVEN[modality])
    raw = place.with_name(f".{place.stem}.raw.partial")  # what is left of it after a kill goes at the next start
    try:
        raw.write_bytes(content)
        service.lab.call("store", raw, place, modality, param, again=False)
    except Gone as error:
        said = f"{param} cannot be read: it breaks what reads it"
        raise Refused(message=said, code="invalid_file", param=param) from error
    except OSError as error:
        raise storage_full("uploads") from error
    finally:
        raw.unlink(missing_ok=True)
    return place.name


def place_of(record: Record, number: int) -> str:
    """The file of a result. Refused if there is none of this number."""
    if not 0 <= number < len(record.results):
        raise missing(f"result of {record.id},", str(number))
    return record.results[number]
