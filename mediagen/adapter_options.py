"""What a caller says of adapters, and what a request keeps of it: options -> plain data, and back for a replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .request import Request

STRONGEST = 10.0  # weight
NAMES = ("lora", "words", "control", "image_prompt")


@dataclass(frozen=True, kw_only=True)
class ControlAsked:
    """model: a control network; image: what it is shown; hint: what is made of the image first, a name of
    `conditioners.hints`; start, end: the part of the walk in which it acts, 0 its first step and 1 its end; mode: the
    number of the kind of picture that a union network is shown; guess: it leads what is asked for and not what guidance
    leads away from, and its fine levels less, so that it does without a prompt."""

    model: Any
    image: Any
    hint: str | None = None
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    mode: int | None = None
    guess: bool = False

    def __post_init__(self) -> None:
        _check_weight(self.weight, "control")
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(f"control acts from start to end, 0 <= start < end <= 1, not {self.start} to {self.end}")
        if not isinstance(self.guess, bool) or isinstance(self.mode, bool) or not isinstance(self.mode, int | None):
            raise ValueError(f"mode must be a whole number and guess true or false, not {self.mode!r}, {self.guess!r}")


@dataclass(frozen=True, kw_only=True)
class ImagePromptAsked:
    """adapter: an IP-Adapter; encoder: the folder of its image encoder, None where it lies beside the adapter."""

    adapter: Any
    image: Any
    weight: float = 1.0
    encoder: Any = None

    def __post_init__(self) -> None:
        _check_weight(self.weight, "image_prompt")


def weighted(given: Any, what: str) -> list[tuple[str, float]]:
    """A path, (path, weight), or a list of them -> [(path, weight)]."""
    rows = [given] if _is_weighted(given) else _several(given)
    pairs = [(row, 1.0) if isinstance(row, str | Path) else row for row in rows]
    if not all(map(_is_weighted, pairs)):
        raise ValueError(f"{what} must be a path, (path, weight), or a list of them, not {given!r}")
    for _, weight in pairs:
        _check_weight(weight, what)
    return [(str(path), float(weight)) for path, weight in pairs]


def named(given: Any) -> list[tuple[str | None, str]]:
    """A path, a list of them, or a mapping of word to path -> [(word, path)]; None: the word that the file has."""
    pairs = list(given.items()) if isinstance(given, Mapping) else [(None, path) for path in _several(given)]
    if not all((word is None or (isinstance(word, str) and word)) and isinstance(at, str | Path) for word, at in pairs):
        raise ValueError(f"words must be a path, a list of them, or a mapping of word to path, not {given!r}")
    return [(word, str(path)) for word, path in pairs]


def control(given: Any) -> list[ControlAsked]:
    """(model, image), (model, image, weight), a mapping of what `ControlAsked` has, or a list of them."""
    return [_shown(each, ControlAsked, "control") for each in _several(given, list)]


def image_prompts(given: Any) -> list[ImagePromptAsked]:
    """(adapter, image), (adapter, image, weight), a mapping of what `ImagePromptAsked` has, or a list of them."""
    return [_shown(each, ImagePromptAsked, "image_prompt") for each in _several(given, list)]


def again(request: Request) -> dict[str, Any]:
    """What a request asked for, as options of a job. ValueError for a picture that is not there any more."""
    asked: dict[str, Any] = {
        "lora": [(one.path, one.weight) for one in request.lora],
        "words": {one.word: one.path for one in request.words},
        "control": [
            _again(one, "model", ("hint", "weight", "start", "end", "mode", "guess")) for one in request.control
        ],
        "image_prompt": [_again(one, "adapter", ("weight", "encoder")) for one in request.image_prompt],
    }
    return {name: given for name, given in asked.items() if given}


def check_again(before: Request, after: Request) -> None:
    """ValueError unless what a request asks for is what lay there before."""
    for name in NAMES:
        for old, new in zip(getattr(before, name), getattr(after, name), strict=True):
            if old.hash != new.hash:
                raise ValueError(f"{old.path} has changed since: it is not what this was made with")
            if hasattr(old, "image") and old.image.sha256 != new.image.sha256:
                raise ValueError(f"{old.image.path} has changed since: its pixels are not those that were shown")


def _again(one: Any, name: str, others: Sequence[str]) -> dict[str, Any]:
    if one.image.path is None or not Path(one.image.path).exists():
        raise ValueError(f"the picture that was shown is not at {one.image.path}: put it back there to replay")
    return {name: one.path, "image": one.image.path} | {other: getattr(one, other) for other in others}


def _several(given: Any, kinds: Any = list | tuple) -> list[Any]:
    """Nothing, a list, or one."""
    if given is None:
        return []
    return list(given) if isinstance(given, kinds) else [given]


def _shown(given: Any, kind: type, what: str) -> Any:
    names = [each.name for each in fields(kind)]
    if isinstance(given, tuple) and 2 <= len(given) <= 3:
        given = dict(zip((names[0], "image", "weight"), given, strict=False))
    if not isinstance(given, Mapping) or not set(names[:2]) <= set(given):
        raise ValueError(f"{what} must be ({names[0]}, image), or a mapping of {', '.join(names)}, not {given!r}")
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"{what} has no {unknown[0]!r}; it has {', '.join(names)}")
    return kind(**given)


def _is_weighted(pair: Any) -> bool:
    found = isinstance(pair, tuple | list) and len(pair) == 2
    return found and isinstance(pair[0], str | Path) and _is_number(pair[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_weight(weight: Any, what: str) -> None:
    if not _is_number(weight) or not -STRONGEST <= weight <= STRONGEST:
        raise ValueError(f"the weight of {what} must be a number from -{STRONGEST:g} to {STRONGEST:g}, not {weight!r}")
