"""How much may be asked for at once. Every refusal names the value and the limit."""

from dataclasses import dataclass, fields
from typing import Any

from .errors import Refused


@dataclass(frozen=True, kw_only=True)
class Limits:
    """All the limits of a server.

    body: bytes of a request. text: of one that is no form with files. prompt: characters of all its texts together.
    count: media of one job. pixels: of a picture, or of a frame. frames: pixels of all frames of a job's clips. sound,
    film: seconds of one clip. steps: of the walk. upload_pixels, upload_seconds: of a picture or a frame that is given,
    of a clip. queue: jobs that wait or run. time: seconds of work that a job may take. batch: media that are made at
    once. streams: live ones at once. stream_seconds: of one of them. files: bytes of all the files that are kept for
    clients. lines: of a batch.
    """

    body: int = 64_000_000
    text: int = 8_000_000
    prompt: int = 4_000
    count: int = 10
    pixels: int = 1_048_576
    frames: int = 67_108_864
    sound: float = 120.0
    film: float = 20.0
    steps: int = 200
    upload_pixels: int = 16_777_216
    upload_seconds: float = 600.0
    queue: int = 100
    time: float = 900.0
    batch: int = 8
    streams: int = 2
    stream_seconds: float = 3_600.0
    files: int = 2_000_000_000
    lines: int = 1_000

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"the limit {field.name} must be above 0, not {getattr(self, field.name)!r}")


def check_words(limits: Limits, *texts: Any) -> None:
    """Refuse prompts of more characters than the limit, in whatever lists they lie, and what no database holds."""
    count = sum(map(len, _texts(texts)))
    if count > limits.prompt:
        raise _refused("prompt", f"the prompts have {count} characters together, at most {limits.prompt} are read")
    if any("\0" in text for text in _texts(texts)):
        raise Refused(message="a prompt is text: it has no zero characters", param="prompt")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for one in value for text in _texts(one)] if isinstance(value, list | tuple) else []


def check_job(limits: Limits, modality: str, job: Any) -> None:
    """Refuse a job of a pipeline that is larger than the limits."""
    first, count = job.requests[0], len(job.requests)
    pixels = first.size[0] * first.size[1] if first.size else 0
    _most("n", count, limits.count, "media of one job")
    _most("steps", first.walk.steps, limits.steps, "steps")
    _most("size", pixels, limits.pixels, "pixels")
    if first.seconds is not None:
        _most("seconds", first.seconds, limits.sound if modality == "audio" else limits.film, "seconds")
    if modality == "video":
        _most("seconds", pixels * job.frames * count, limits.frames, "pixels in all frames")


def _most(param: str, value: float, limit: float, what: str) -> None:
    if value > limit:
        raise _refused(param, f"{value:g} {what} are asked for; at most {limit:g} are made")


def _refused(param: str, message: str) -> Refused:
    return Refused(message=message, code="limit_exceeded", param=param)


def full(waiting: int, limits: Limits, after: int) -> Refused:
    """The answer when the queue holds as many jobs as it may."""
    message = f"{waiting} jobs wait or run already, at most {limits.queue} may: try again in {after} s"
    return Refused(message=message, status=429, code="queue_full", after=after)
