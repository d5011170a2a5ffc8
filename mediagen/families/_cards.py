"""The cards of models of our own: what a folder holds, told without loading anything of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parents[1] / "weights"


def cards() -> dict[str, Path]:
    """The shipped models: name -> folder with a card.yaml."""
    return {card.parent.name: card.parent for card in sorted(SHIPPED.glob("*/card.yaml"))}


def read_card(folder: Path) -> Mapping[str, Any]:
    """card.yaml as a mapping; ValueError if it is missing, broken or lacks a key."""
    import yaml

    try:
        card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
        size = {"rate", "seconds"} if "seconds" in card else {"size"}
        missing = {"name", "modality", "text", "denoiser"} | size
        missing -= set(card)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise ValueError(f"{folder} holds no readable model card: {error}") from error
    if missing:
        raise ValueError(f"{folder / 'card.yaml'} lacks {', '.join(sorted(missing))}")
    return card
