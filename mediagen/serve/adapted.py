"""Fields of requests that put on a model what the server offers: control networks, learned words, image prompts; and
a second model that refines. LoRA, which every medium takes, is in `fields`."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .errors import Refused
from .fields import Common, Given
from .service import Asked
from .uploads import given

MOST = 4  # pictures that are shown, each to a network
Name = Annotated[str, Field(max_length=200)]


class Shown(BaseModel):
    """What is named (`GET /v1/adapters`), and the picture that it is shown: a file, or the id of a file or of a job."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Name
    image: Given = None
    weight: Annotated[float, Field(ge=-10, le=10)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, value: Any) -> Any:
        """Forms write what was left out as an empty text."""
        return {k: v for k, v in value.items() if v != ""} if isinstance(value, dict) else value


class Control(Shown):
    """A control network. hint: what is made of the picture first; start, end: the part of the walk in which it acts, in
    0 .. 1; mode: what a union network is shown, a number; guess: it leads alone, also without a prompt."""

    hint: Name | None = None
    start: Annotated[float, Field(ge=0, le=1)] = 0.0
    end: Annotated[float, Field(ge=0, le=1)] = 1.0
    mode: Annotated[int | None, Field(ge=0, le=1000)] = None
    guess: bool = False

    @model_validator(mode="after")
    def _lasts(self) -> "Control":
        if self.start >= self.end:
            raise ValueError(f"it acts from start to end: {self.start:g} is not before {self.end:g}")
        return self


class Adapted(Common):
    """What pictures and films take. words: names, or {word: name}: what stands for it in the prompt."""

    control: Annotated[list[Control] | None, Field(max_length=MOST)] = None
    image_prompt: Annotated[list[Shown] | None, Field(max_length=MOST)] = None
    words: (
        Annotated[dict[Annotated[str, Field(min_length=1, max_length=100)], Name], Field(max_length=8)]
        | Annotated[list[Name], Field(max_length=8)]
        | None
    ) = None

    @field_validator("control", "image_prompt", mode="before")
    @classmethod
    def _one(cls, value: Any, info: Any) -> Any:
        """One may stand for itself."""
        if isinstance(value, str) and value:
            said = f"{info.field_name} is {value[:80]!r}; it must be an object of name and image, or a list of them"
            raise Refused(message=said, param=info.field_name)
        return None if value in (None, "") else [value] if isinstance(value, dict) else value

    @field_validator("words", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return None if value in (None, "") else [value] if isinstance(value, str) else value

    @property
    def walk(self) -> dict[str, Any]:
        return super().walk | {"words": self.words or None}


class Refined(Adapted):
    """refiner: another model of `GET /v1/models`, which walks the last part of the noise's course; share: the model's
    own part."""

    refiner: Name | None = None
    share: Annotated[float | None, Field(gt=0, lt=1)] = None

    @field_validator("refiner", "share", mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return None if value == "" else value

    @property
    def walk(self) -> dict[str, Any]:
        if self.share is not None and self.refiner is None:
            raise Refused(message="share needs refiner, the model that walks the rest", param="share")
        return super().walk | {"refiner": self.refiner, "share": self.share}


async def put(request: Request, body: Adapted, asked: Asked) -> Asked:
    """With what the body shows to networks: the pictures are sources, "control.0" and so on. What leads a film may be
    one too."""
    options, sources = dict(asked.options), dict(asked.sources)
    leads = ("image", "video") if asked.modality == "video" else ("image",)
    for kind, rows, kinds in (("control", body.control, leads), ("image_prompt", body.image_prompt, ("image",))):
        for number, one in enumerate(rows or ()):
            sources[f"{kind}.{number}"] = await given(request, one.image, kinds, f"{kind}.{number}.image")
        options[kind] = [one.model_dump(exclude={"image"}, exclude_defaults=True) for one in rows or ()] or None
    return replace(asked, options=options, sources=sources)
