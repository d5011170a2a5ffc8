"""Everything that was asked for, as plain data: what a file carries in its metadata, and `replay` makes again."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import config
from .generators.autoregressive import Sampling
from .generators.diffusion import Walk

TASKS = ("generate", "vary", "inpaint", "extend", "loop", "accompany", "stream", "animate", "interpolate", "upscale")


@dataclass(frozen=True, kw_only=True)
class Source:
    """An input file: where it was, and a hash of its decoded content, by which a replay knows it again."""

    path: str | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A LoRA: where it lay, a hash of its weights, and how strongly it acts."""

    path: str
    hash: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Word:
    """A learned word (textual inversion) and the file of its vectors."""

    path: str
    hash: str
    word: str


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control network, and the picture that it is shown, or what `hint` makes of it. start, end: the part of the walk
    in which it acts, in 0 .. 1; mode: of union networks, the number of the kind of picture; guess: it leads only what
    is asked for, and its fine levels less."""

    path: str
    hash: str
    image: Source
    hint: str | None = None
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    mode: int | None = None
    guess: bool = False


@dataclass(frozen=True, kw_only=True)
class ImagePrompt:
    """An IP-Adapter, and the picture that prompts. encoder: the folder of its image encoder, None: beside it."""

    path: str
    hash: str
    image: Source
    weight: float = 1.0
    encoder: str | None = None


@dataclass(frozen=True, kw_only=True)
class Refined:
    """Two models that shared the walk: base did the first `share` of the noise's course, refiner the rest."""

    base: str
    refiner: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Request:
    """One sample. sample: its number in the batch that it was made in (a part of the noise's key); prompts: (text,
    weight), several to compose; sampling: of a model that writes codes, which walks nowhere; noise: what was handed in
    instead of the seed's, which no replay has; lora, words, control, image_prompt: what the model was adapted with;
    refined: of a model that is two, how they are put together again.

    Of pictures: size (width, height) in pixels; regions (text, (left, top, right, bottom) in 0..1).
    Of sound: seconds, None for a stream without an end; timeline (second, text); between: the seconds of the source
    that are made anew; left, right: seconds put to its ends; bars, beats (a bar) and bpm of a loop; alone: of an
    accompaniment, whether it is heard without what it accompanies; lufs: loudness; lyrics.
    Of video, beside size, seconds, timeline, between, left and right: fps, frames a second (of an interpolation: before
    it); motion: its strength in 0..1, None where nothing was asked for; factor of an interpolation; first, last: the
    pictures that it begins and ends with; sound: what is heard with it.
    """

    task: str = "generate"
    prompts: tuple[tuple, ...]
    negative: str | None = None
    size: tuple[int, ...] = ()
    seconds: float | None = None
    timeline: tuple[tuple, ...] = ()
    between: tuple[float, ...] = ()
    left: float | None = None
    right: float | None = None
    bars: int | None = None
    beats: int | None = None
    bpm: float | None = None
    alone: bool | None = None
    lufs: float | None = None
    lyrics: str | None = None
    fps: float | None = None
    motion: float | None = None
    factor: int | None = None
    seed: int
    sample: int = 0
    walk: Walk = field(default_factory=Walk)
    sampling: Sampling | None = None
    strength: float = 1.0
    regions: tuple[tuple, ...] = ()
    source: Source | None = None
    mask: Source | None = None
    noise: str | None = None
    first: Source | None = None
    last: Source | None = None
    sound: Source | None = None
    lora: tuple[Lora, ...] = ()
    words: tuple[Word, ...] = ()
    control: tuple[Control, ...] = ()
    image_prompt: tuple[ImagePrompt, ...] = ()
    refined: Refined | None = None
    model: str
    model_hash: str
    version: str

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; it must be one of {', '.join(TASKS)}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number from 0 to 2^63 - 1, not {self.seed!r}")

    def to_json(self, pixels: str | None = None, samples: str | None = None) -> str:
        """What a file carries: the request without what was not asked for, and a hash of the pixels or samples as they
        were made (a lossy file changes them)."""
        asked = {k: v for k, v in config.plain(self).items() if v not in (None, [])}
        made = {k: v for k, v in (("pixels", pixels), ("samples", samples)) if v}
        return json.dumps({"mediagen": asked, **made}, ensure_ascii=False, sort_keys=True)

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
