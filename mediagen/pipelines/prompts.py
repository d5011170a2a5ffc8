"""What was given as a prompt, read."""

from collections.abc import Sequence
from typing import Any

Prompt = str | Sequence[str] | Sequence[tuple[str, float]]
Prompts = tuple[tuple[str, float], ...]


def prompts_of(prompt: Any) -> list[Prompts]:
    """What was given as a prompt -> the (text, weight) pairs of each of the media."""
    if isinstance(prompt, str):
        return [((prompt, 1.0),)]
    items = list(prompt) if isinstance(prompt, Sequence) else []
    if items and all(isinstance(item, str) for item in items):
        return [((text, 1.0),) for text in items]
    if not items or not all(is_pair(item, str, (int, float)) for item in items):
        raise ValueError(f"prompt must be a text, a list of texts, or a list of (text, weight), not {prompt!r}")
    return [tuple((text, float(weight)) for text, weight in items)]


def is_pair(item: Any, first: Any, second: Any) -> bool:
    """Whether an item is a sequence of two values of these kinds."""
    pair = isinstance(item, Sequence) and len(item) == 2
    return pair and isinstance(item[0], first) and isinstance(item[1], second)
