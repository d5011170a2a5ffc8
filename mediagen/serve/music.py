"""Music in the shape of OpenAI's images: generations, edits, extensions, variations; and the names that others use."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field, model_validator

from .answers import accepted, content, file_of, results
from .errors import Refused
from .fields import Common, Given, Timeline, Words, documented, read
from .records import Record
from .service import Asked, Service
from .uploads import given

router = APIRouter(prefix="/v1", tags=["music"])
Seconds = Annotated[float | None, Field(gt=0, le=100_000)]
Format = Literal["wav", "flac", "mp3", "opus", "aac", "m4a"]


class Sounds(Common):
    """What all of them take. output_format: of the file; response_format: b64_json and url as of pictures, or binary
    for the file itself (of one clip)."""

    prompt: Words | Timeline
    output_format: Format = "wav"
    response_format: Literal["b64_json", "url", "binary"] = "b64_json"
    lufs: Annotated[float | None, Field(ge=-70, le=0)] = None


class Music(Sounds):
    """A prompt may be a timeline [[second, text], ...]. bars, beats, bpm: a seamless loop instead of seconds. lyrics:
    what a model that sings sings; temperature, top_k, top_p: how one that writes codes draws them."""

    seconds: Seconds = None
    bars: Annotated[int | None, Field(ge=1)] = None
    beats: Annotated[int | None, Field(ge=1)] = None
    bpm: Annotated[float | None, Field(gt=0)] = None
    loop: bool = False
    lyrics: Words | None = None
    temperature: Annotated[float | None, Field(ge=0)] = None
    top_k: Annotated[int | None, Field(ge=0)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None


class Edit(Sounds):
    """The seconds from start to end are made anew."""

    audio: Given = None
    start: Annotated[float, Field(ge=0)]
    end: Annotated[float, Field(gt=0)]
    bpm: Annotated[float | None, Field(gt=0)] = None


class Extension(Sounds):
    """So many seconds more before and after the clip."""

    audio: Given = None
    left: Annotated[float, Field(ge=0)] = 0.0
    right: Annotated[float, Field(ge=0)] = 0.0
    bpm: Annotated[float | None, Field(gt=0)] = None


class Variation(Sounds):
    audio: Given = None
    strength: Annotated[float, Field(gt=0, le=1)] = 0.6


class Named(Music):
    """As other servers call these fields: input for the prompt, audio_length for its seconds."""

    prompt: Words | Timeline = ""
    input: Words | None = None
    audio_length: Seconds = None
    response_format: Format = "wav"

    @model_validator(mode="after")
    def _one_prompt(self) -> "Named":
        if bool(self.prompt) == bool(self.input):
            raise ValueError("say what to make in prompt, or in input")
        return self


class Effect(Common):
    """As ElevenLabs calls them. prompt_influence: 0..1, a guidance from 1 to twice that of the model."""

    text: Words
    duration_seconds: Seconds = None
    prompt_influence: Annotated[float | None, Field(ge=0, le=1)] = None
    loop: bool = False
    model_id: Annotated[str | None, Field(max_length=200)] = None
    output_format: Format = "mp3"


@router.post("/audio/generations", openapi_extra=documented(Music))
async def generations(request: Request) -> Response:
    """Music or sound from text."""
    body = await read(request, Music)
    return await _answer(request, body, _asked("audio.generations", body, _music(body)))


@router.post("/audio/edits", openapi_extra=documented(Edit, form=True))
async def edits(request: Request) -> Response:
    """Some seconds of a clip made anew; each sample outside of them stays as it is."""
    body = await read(request, Edit)
    options = {"between": [body.start, body.end], "bpm": body.bpm}
    return await _changed(request, body, "audio.edits", options)


@router.post("/audio/extensions", openapi_extra=documented(Extension, form=True))
async def extensions(request: Request) -> Response:
    """A clip with more before or after it; each of its samples stays as it is."""
    body = await read(request, Extension)
    sides = {"left": body.left, "right": body.right, "bpm": body.bpm}
    return await _changed(request, body, "audio.extensions", sides)


@router.post("/audio/variations", openapi_extra=documented(Variation, form=True))
async def variations(request: Request) -> Response:
    """A clip made anew from its noised self."""
    body = await read(request, Variation)
    return await _changed(request, body, "audio.variations", {"strength": body.strength})


@router.post("/audio/generate", openapi_extra=documented(Named))
async def generate(request: Request) -> Response:
    """The same as generations, answered with the file itself."""
    body = await read(request, Named)
    seconds = body.seconds if body.audio_length is None else body.audio_length
    options = {**_music(body), "prompt": body.prompt or body.input, "seconds": seconds}
    return await _file(request, _asked("audio.generations", body, options), body.response_format, body.wait)


@router.post("/sound-generation", openapi_extra=documented(Effect))
async def sound_generation(request: Request) -> Response:
    """Sound from text in the words of ElevenLabs' API, answered with the file itself."""
    body, service = await read(request, Effect), request.app.state.service
    name = body.model or body.model_id
    options = {**body.walk, "prompt": body.text, "seconds": body.duration_seconds, "loop": body.loop or None}
    if body.prompt_influence is not None and body.guidance_scale is None:
        usual = service.models.find(name, "audio").card.get("defaults", {}).get("guidance", 4.0)
        options["guidance"] = 1 + body.prompt_influence * (2 * usual - 1)
    asked = Asked(endpoint="audio.generations", modality="audio", model=name, options=options)
    return await _file(request, asked, body.output_format, body.wait)


@router.post("/audio/speech", openapi_extra={"requestBody": {"content": {"application/json": {"schema": {}}}}})
@router.post("/audio/transcriptions", include_in_schema=False)
@router.post("/audio/translations", include_in_schema=False)
async def speech() -> Response:
    """No model here speaks or listens."""
    said = "this server makes music and sound, no speech: see /v1/audio/generations"
    raise Refused(message=said, code="model_not_supported")


def _music(body: Music) -> dict[str, Any]:
    about = {"seconds": body.seconds, "bars": body.bars, "beats": body.beats, "bpm": body.bpm}
    drawn = {"temperature": body.temperature, "top_k": body.top_k, "top_p": body.top_p}
    return {**_walk(body), **about, **drawn, "lyrics": body.lyrics, "loop": body.loop or None}


def _walk(body: Sounds) -> dict[str, Any]:
    return {**body.walk, "prompt": body.prompt, "lufs": body.lufs}


def _asked(endpoint: str, body: Sounds, options: dict[str, Any], start: str | None = None) -> Asked:
    sources = {} if start is None else {"start": start}
    about = {"output_format": body.output_format} if isinstance(body, Sounds) else {}
    about |= {"response_format": body.response_format} if about else {}
    asked = {"model": body.model, "options": options, "sources": sources, "about": about}
    return Asked(endpoint=endpoint, modality="audio", **asked)


async def _changed(request: Request, body: Any, endpoint: str, options: dict[str, Any]) -> Response:
    start = await given(request, body.audio, "audio", "audio")
    options = {**_walk(body), **options}
    return await _answer(request, body, _asked(endpoint, body, options, start))


async def _answer(request: Request, body: Sounds, asked: Asked) -> Response:
    if body.response_format == "binary":
        return await _file(request, asked, body.output_format, body.wait)
    service: Service = request.app.state.service
    record = await service.submit(asked)
    if not body.wait:
        return accepted(service, request, record)
    record = await service.finished(record.id, request)
    return await results(service, request, record, body.response_format, body.output_format)


async def _file(request: Request, asked: Asked, format: str, wait: bool) -> Response:
    """One clip as a file."""
    service: Service = request.app.state.service
    if asked.options.get("n", 1) != 1:
        raise Refused(message="a file holds one clip: leave out n, or ask for b64_json", param="n")
    record: Record = await service.submit(asked)
    if not wait:
        return accepted(service, request, record)
    record = await service.finished(record.id, request)
    path = await content(service, record, 0, format)
    answer = file_of(path, format, f"{record.id}.{format}")
    answer.headers["x-job-id"] = record.id
    answer.headers["x-seed"] = str(record.asked["seed"])
    return answer
