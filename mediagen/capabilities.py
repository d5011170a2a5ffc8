"""What works with which model, and what is refused and why; computed from the models themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .families import _files
from .families._cards import cards, read_card

if TYPE_CHECKING:
    from .families.model import Model

TASKS = {
    "image": ("generate", "vary", "inpaint", "regions", "loop", "window"),
    "video": (
        "generate",
        "animate",
        "vary",
        "inpaint",
        "extend",
        "interpolate",
        "loop",
        "timeline",
        "window",
        "continue",
    ),
    "audio": ("generate", "vary", "inpaint", "extend", "loop", "timeline", "window", "stream"),
}

TOLD = ("fps", "motion")


def capabilities(folder: Path) -> dict[str, str]:
    """Task -> "" if it works, else the reason why it is refused."""
    if published(folder):
        return _able(_outlined(folder))
    card = read_card(folder)
    answers = dict.fromkeys(TASKS.get(card["modality"], ()), "")
    if card["modality"] == "image" and not card.get("preview"):
        answers["preview"] = "the model has no preview decoder"
    if card["modality"] == "audio":
        answers["accompany"] = "" if "context" in card.get("signals", ()) else "the model was not trained to accompany"
    if card["modality"] == "video":
        told = {scalar["name"] for scalar in card.get("scalars", ())}
        answers |= {name: "" if name in told else f"the model was not trained to be told {name}" for name in TOLD}
    return answers


def takes(place: Path) -> tuple[str, ...]:
    """What may be put on a model, by the names of its options: "lora", "control", "words", "image_prompt"; and
    "refiner", if it may be half of an ensemble. Known without its weights; a file or a refiner may fit it or not."""
    if published(place):
        return _taken(_outlined(place))
    card = read_card(place)
    seen, told = card["modality"] != "audio", card.get("scalars")
    return ("lora", *(["control"] if seen else []), *(["refiner"] if card["modality"] == "image" and not told else []))


def _taken(model: Model) -> tuple[str, ...]:
    """As `takes`, of a published checkpoint."""
    adapts, seen = model.adapts, model.modality != "audio"
    halves = model.enlarges is None and not (model.shown or model.scalars)
    able = {
        "lora": bool(adapts.parts) or model.denoiser is not None,
        "control": seen and adapts.control is not None,
        "words": seen and adapts.learn is not None,
        "image_prompt": seen and adapts.pictures is not None,
        "refiner": model.modality == "image" and model.denoiser is not None and halves,
    }
    return tuple(name for name, does in able.items() if does)


def published(place: Path) -> bool:
    """Whether it is a published checkpoint, a folder or a file, which has no card."""
    return place.is_file() or (place.is_dir() and not (place / "card.yaml").is_file())


def check_variant(name: str, place: Path, variant: str) -> None:
    """ValueError unless the model of this name is a published checkpoint that has weight files of this variant."""
    if not published(place):
        raise ValueError(f"variant is for published checkpoints, and {name} is a model of mediagen's own: leave it out")
    files = [place] if place.is_file() else list(place.glob("*/*.safetensors"))
    _files.check_variant(name, variant, files, files)


def card_of(place: Path) -> Mapping[str, Any]:
    """The card of a model; of a published checkpoint what its configurations say, without its weights. ValueError for
    what is neither."""
    if not published(place):
        return read_card(place)
    model = _outlined(place)
    plain = {name: value for name, value in model.defaults.items() if isinstance(value, str | int | float | None)}
    card = {"name": model.name, "modality": model.modality, "defaults": plain, "summary": "a published checkpoint"}
    length = {"rate": model.rate, "seconds": model.seconds} if model.seconds is not None else {}
    second = {} if model.boundary is None else {"boundary": round(model.boundary, 6)}
    return card | length | second | ({} if model.modality == "audio" else {"size": list(model.size)})


@lru_cache(maxsize=16)
def _outlined(place: Path) -> Model:
    from .pipelines.opening import family_of

    return family_of(place).outline(place)[0]


def _able(model: Model) -> dict[str, str]:
    """As `capabilities`, of a published checkpoint."""
    answers = dict.fromkeys(TASKS[model.modality], "")
    if model.enlarges is not None:
        why = "it makes a picture larger: upscale(picture, prompt) alone"
        return dict.fromkeys(answers, why) | {"upscale": ""}
    if model.denoiser is None:
        why = "it writes codes: it makes new sound, and goes on to the right"
        return {task: "" if task in ("generate", "extend") else why for task in answers}
    if model.shown is not None:
        answers["loop"] = "it is shown what has a place: it makes no loops"
    if model.hears is not None:
        answers |= dict.fromkeys(("loop", "window", "continue"), "it makes a clip and its sound at once")
    if "first" in model.ends:
        answers["generate"] = "it makes clips from a picture: give first, or a clip to vary"
    return answers


def describe() -> Iterator[str]:
    """One line a shipped model, for people."""
    for name, folder in cards().items():
        card = read_card(folder)
        able = capabilities(folder)
        works = ", ".join(task for task, reason in able.items() if not reason)
        yield f"{name}  {card['modality']} {size(card)}  {works}  {card.get('summary', '')}".rstrip()


def size(card: Mapping[str, Any]) -> str:
    """What a model makes best: "128x128", "10 s at 44100 Hz", or "2 s of 64x64 at 8 frames a second"."""
    if card["modality"] == "video":
        return f"{card['seconds']:g} s of {'x'.join(map(str, card['size']))} at {card['rate']:g} frames a second"
    if "seconds" in card:
        return f"{card['seconds']:g} s at {card['rate']} Hz"
    return "x".join(map(str, reversed(card["size"])))
