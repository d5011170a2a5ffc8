"""Everything that was asked for, as plain data: what a picture carries in its metadata, and `replay` makes again."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import config
from .generators.diffusion import Walk

TASKS = ("generate", "vary", "inpaint")


@dataclass(frozen=True, kw_only=True)
class Source:
    """An input file: where it was, and a hash of its decoded content, by which a replay knows it again."""

    path: str | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One sample. size: (width, height) in pixels; sample: its number in the batch that it was made in (a part of the
    noise's key); prompts: (text, weight), several to compose; regions: (text, (left, top, right, bottom) in 0..1)."""

    task: str = "generate"
    prompts: tuple[tuple, ...]
    negative: str | None = None
    size: tuple[int, ...]
    seed: int
    sample: int = 0
    walk: Walk = field(default_factory=Walk)
    strength: float = 1.0
    regions: tuple[tuple, ...] = ()
    source: Source | None = None
    mask: Source | None = None
    model: str
    model_hash: str
    version: str

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; it must be one of {', '.join(TASKS)}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number from 0 to 2^63 - 1, not {self.seed!r}")

    def to_json(self, pixels: str | None = None) -> str:
        """What a file carries: the request, and a hash of the pixels as they were made (a lossy file changes them)."""
        values = {"mediagen": config.plain(self)} | ({"pixels": pixels} if pixels else {})
        return json.dumps(values, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """ValueError if the text is not a request that this version understands."""
        try:
            values = json.loads(text)["mediagen"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError("the metadata holds no mediagen request") from error
        if not isinstance(values, Mapping):
            raise ValueError("the metadata holds no mediagen request")
        return config.build(cls, dict(values), "request")

    def numbered(self, sample: int, prompts: tuple[tuple, ...]) -> "Request":
        """The same request for another sample of a batch."""
        return dataclasses.replace(self, sample=sample, prompts=prompts)


def walk_of(defaults: Mapping[str, Any], options: Mapping[str, Any]) -> Walk:
    """A model's defaults and the caller's options (None: not given) -> a Walk; ValueError for an unknown option."""
    given = {k: v for k, v in options.items() if v is not None}
    known = {f.name for f in dataclasses.fields(Walk)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return config.build(Walk, {**defaults, **given}, "options")
