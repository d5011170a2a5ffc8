"""Bodies of requests: the fields that all media share, read from JSON or from a form, and what they mean here."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.datastructures import UploadFile

from .errors import Refused
from .gate import too_large

VALUES = 10_000  # of a JSON text at most: each takes time that nobody else has meanwhile
FIELDS = 64  # of a form
LEFT_OUT = ("model", "seed", "steps", "guidance_scale", "guidance_scale_2", "boundary", "negative_prompt", "solver")
Given = Any
Body = TypeVar("Body", bound=BaseModel)
Words = Annotated[str, Field(max_length=100_000)]
Timeline = Annotated[list[tuple[float, Words]], Field(fail_fast=True)]
GIVEN_JSON = {
    "description": "A file of a form; or the id of a file or of a job; or a data: URL in base64.",
    "anyOf": [{"type": "string"}, {"type": "object", "properties": {"file_id": {"type": "string"}}}],
}


class LoraAsked(BaseModel):
    """A low-rank adapter by its name (`GET /v1/loras`)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(max_length=200)]
    weight: Annotated[float, Field(ge=-10, le=10)] = 1.0


Loras = LoraAsked | Annotated[str, Field(max_length=200)]


class Common(BaseModel):
    """What every medium takes. Unknown fields are refused. Those of OpenAI that mean nothing here are read and ignored;
    docs/server.md lists them."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=(), populate_by_name=True)

    model: Annotated[str | None, Field(max_length=200)] = None
    n: Annotated[int, Field(ge=1, le=1024)] = 1
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    steps: Annotated[int | None, Field(ge=1, le=1000, alias="num_inference_steps")] = None
    guidance_scale: Annotated[float | None, Field(ge=0, le=100)] = None
    guidance_scale_2: Annotated[float | None, Field(ge=0, le=100)] = None
    boundary: Annotated[float | None, Field(gt=0, lt=1, description="Time below which guidance_scale_2 acts.")] = None
    negative_prompt: Words | None = None
    solver: Annotated[str | None, Field(max_length=40)] = None
    lora: Annotated[list[Loras] | None, Field(max_length=8, description="name, name:weight, or several.")] = None
    wait: bool = Field(default=True, description="False: answer at once with the job (202), which goes on by itself.")
    user: Annotated[str | None, Field(max_length=1000)] = None
    safety_identifier: Annotated[str | None, Field(max_length=1000)] = None

    @field_validator("lora", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """One may stand for itself."""
        return None if value in (None, "") else [value] if isinstance(value, str | dict) else value

    @field_validator(*LEFT_OUT, mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        """Forms write what was left out as an empty text."""
        return None if value == "" else value

    @property
    def walk(self) -> dict[str, Any]:
        """The options of a pipeline's `job` that these fields are."""
        asked = {"n": self.n, "seed": self.seed, "steps": self.steps, "guidance": self.guidance_scale}
        lora = None if not self.lora else [weighted(one) for one in self.lora]
        asked |= {"guidance_2": self.guidance_scale_2, "boundary": self.boundary}
        return asked | {"negative": self.negative_prompt, "solver": self.solver, "lora": lora}


def weighted(lora: LoraAsked | str) -> tuple[str, float]:
    """ "style:0.8" -> ("style", 0.8)."""
    if isinstance(lora, LoraAsked):
        return lora.name, lora.weight
    name, colon, weight = lora.rpartition(":")
    try:
        return weighted(LoraAsked(name=name, weight=float(weight))) if colon else (lora, 1.0)
    except ValueError as error:
        said = f"lora is {lora[:80]!r}: a name, or name:weight with a weight from -10 to 10"
        raise Refused(message=said, param="lora") from error


def size_of(size: str | None) -> list[int] | None:
    """ "192x128" -> [192, 128]; None for "auto" or nothing: what the model is best at."""
    if size in (None, "", "auto"):
        return None
    parts = size.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise Refused(message=f"size must be WIDTHxHEIGHT such as 192x128, or auto, not {size[:40]!r}", param="size")
    return [int(part) for part in parts]


async def read(request: Request, kind: type[Body]) -> Body:
    """The body of a request, JSON or a form. Refused, with the field that is wrong."""
    written = request.headers.get("content-type", "application/json")
    if "json" in written:
        values = await _json(request)
    elif "urlencoded" in written:
        values = _collected(_pairs(await _text(request)))
    else:
        values = await _form(request, kind)
    return fitted(kind, values)


def fitted(kind: type[Body], values: Mapping[str, Any]) -> Body:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise refusal(error.errors()) from error


def refusal(errors: Sequence[Mapping[str, Any]]) -> Refused:
    """The first thing that is wrong, with the name of its field."""
    first, parts = errors[0], [str(part) for part in errors[0]["loc"]]
    param = ".".join(parts[1:] if parts[:1] in (["body"], ["query"], ["path"]) else parts) or None
    code = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}.get(first["type"])
    words = {"extra_forbidden": "is not known here"}.get(first["type"], str(first["msg"]))
    message = f"{param}: {words}" if param else f"the body cannot be read: {words}"
    return Refused(message=message[:500], code=code or "invalid_value", param=param and param[:100])


async def _json(request: Request) -> Mapping[str, Any]:
    try:
        return parsed(await _text(request))
    except ValueError as error:
        raise Refused(message=str(error), code="invalid_json") from error


async def _text(request: Request) -> bytes:
    """A body that is read in one go, where no one else is served meanwhile: it has a limit of its own."""
    most, parts, size = request.app.state.service.limits.text, [], 0
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large(most, "send what is larger as a file of a form")
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large(most, "send what is larger as a file of a form")
        parts.append(part)
    return b"".join(parts)


def parsed(text: bytes, what: str = "the body") -> dict[str, Any]:
    """A JSON object. ValueError for what is none, or has more than `VALUES` values: they are counted before they are
    read."""
    if sum(map(text.count, (b",", b"[", b"{"))) > VALUES:
        raise ValueError(f"{what} is no JSON that is read here: it has more than {VALUES} values")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is no JSON") from error
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object")
    return value


def _pairs(text: bytes) -> list[tuple[str, str]]:
    """The fields of a form without files."""
    try:
        return parse_qsl(text.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError as error:
        raise Refused(message=f"the form has more than {FIELDS} fields", code="invalid_form") from error


async def _form(request: Request, kind: type[BaseModel]) -> dict[str, Any]:
    form = await request.form(max_files=4, max_fields=FIELDS, max_part_size=1_000_000)
    values = _collected(form.multi_items())
    for name, value in values.items():
        if isinstance(value, UploadFile) and not _takes_files(kind, name):
            raise Refused(message=f"{name[:80]} is no file here", param=name[:80])
    return values


def _collected(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A form's fields; `image[]` is `image`, `video[id]` is {"id": ...}. Each may be there once."""
    values: dict[str, Any] = {}
    for key, value in items:
        name, _, inner = key.partition("[")
        inner = inner.rstrip("]")
        if name in values and not (inner and isinstance(values[name], dict) and inner not in values[name]):
            raise Refused(message=f"{key[:80]} is there more than once; one is taken", param=name[:80])
        if inner:
            values.setdefault(name, {})[inner] = value
        else:
            values[name] = value
    return values


def _takes_files(kind: type[BaseModel], name: str) -> bool:
    field = kind.model_fields.get(name)
    return field is not None and field.annotation is Given


def documented(kind: type[BaseModel], *, form: bool = False) -> dict[str, Any]:
    """What the OpenAPI document says of a body that is read by `read`."""
    schema = kind.model_json_schema()
    kinds = ("application/json", "multipart/form-data") if form else ("application/json",)
    return {"requestBody": {"required": True, "content": {name: {"schema": schema} for name in kinds}}}
