"""What works with which model, and what is refused and why; computed from the models themselves."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .families._cards import cards, read_card

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
