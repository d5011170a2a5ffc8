"""Bodies of requests: the fields that all media share, read from JSON or from a form, and what they mean here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.datastructures import UploadFile

from .errors import Refused

Given = Any
Body = TypeVar("Body", bound="Common")
Words = Annotated[str, Field(max_length=100_000)]
Timeline = list[tuple[float, Words]]
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

    @field_validator("model", "seed", "steps", "guidance_scale", "negative_prompt", "solver", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        """Forms write what was left out as an empty text."""
        return None if value == "" else value

    @property
    def walk(self) -> dict[str, Any]:
        """The options of a pipeline's `job` that these fields are."""
        asked = {"n": self.n, "seed": self.seed, "steps": self.steps, "guidance": self.guidance_scale}
        lora = None if not self.lora else [weighted(one) for one in self.lora]
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
    if "json" in request.headers.get("content-type", "application/json"):
        values = await _json(request)
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
    first = errors[0]
    param = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path")) or None
    code = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}.get(first["type"])
    words = {"extra_forbidden": "is not known here"}.get(first["type"], str(first["msg"]))
    message = f"{param}: {words}" if param else f"the body cannot be read: {words}"
    return Refused(message=message[:500], code=code or "invalid_value", param=param and param[:100])


async def _json(request: Request) -> Mapping[str, Any]:
    try:
        values = await request.json()
    except (ValueError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(message="the body is no JSON", code="invalid_json") from error
    if not isinstance(values, dict):
        raise Refused(message="the body must be a JSON object", code="invalid_json")
    return values


async def _form(request: Request, kind: type[BaseModel]) -> dict[str, Any]:
    """A form's fields; `image[]` is `image`, `video[id]` is {"id": ...}. Each may be there once."""
    form = await request.form(max_files=4, max_fields=64, max_part_size=1_000_000)
    values: dict[str, Any] = {}
    for key, value in form.multi_items():
        name, _, inner = key.partition("[")
        inner = inner.rstrip("]")
        if name in values and not (inner and isinstance(values[name], dict)):
            raise Refused(message=f"{name[:80]} is there more than once; one is taken", param=name[:80])
        if inner:
            values.setdefault(name, {})[inner] = value
        else:
            values[name] = value
    for name, value in values.items():
        if isinstance(value, UploadFile) and not _takes_files(kind, name):
            raise Refused(message=f"{name[:80]} is no file here", param=name[:80])
    return values


def _takes_files(kind: type[BaseModel], name: str) -> bool:
    field = kind.model_fields.get(name)
    return field is not None and field.annotation is Given


def documented(kind: type[BaseModel], *, form: bool = False) -> dict[str, Any]:
    """What the OpenAPI document says of a body that is read by `read`."""
    schema = kind.model_json_schema()
    kinds = ("application/json", "multipart/form-data") if form else ("application/json",)
    return {"requestBody": {"required": True, "content": {name: {"schema": schema} for name in kinds}}}
