"""What works with which model, and what is refused and why; computed from the models themselves."""

from collections.abc import Iterator
from pathlib import Path

from .families.native import read_card
from .pipeline import models

TASKS = {
    "image": ("generate", "vary", "inpaint", "regions", "loop", "window"),
}


def capabilities(folder: Path) -> dict[str, str]:
    """Task -> "" if it works, else the reason why it is refused."""
    card = read_card(folder)
    answers = dict.fromkeys(TASKS.get(card["modality"], ()), "")
    if not card.get("preview"):
        answers["preview"] = "the model has no preview decoder"
    return answers


def describe() -> Iterator[str]:
    """One line a shipped model, for people."""
    for name, folder in models().items():
        card = read_card(folder)
        size = "x".join(map(str, reversed(card["size"])))
        able = capabilities(folder)
        works = ", ".join(task for task, reason in able.items() if not reason)
        yield f"{name}  {card['modality']} {size}  {works}  {card.get('summary', '')}".rstrip()
