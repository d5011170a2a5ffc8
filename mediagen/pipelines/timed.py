"""What may be asked of media that have a time, sound and video: every refusal is one ValueError that names the value.

And timelines of prompts.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .prompts import is_pair

LONGEST = 600.0  # seconds of one piece; a stream has no end

Timeline = tuple[tuple[float, str], ...]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_seconds(value: Any, low: float, high: float, name: str = "seconds") -> None:
    if not is_number(value) or not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, not {value!r}")


def check_between(between: Any, seconds: float) -> tuple[float, float]:
    """(start, end) within a clip of so many seconds."""
    pair = tuple(between) if isinstance(between, Sequence) and len(between) == 2 else ()
    if len(pair) != 2 or not all(map(is_number, pair)) or not 0 <= pair[0] < pair[1] <= seconds + 1e-6:
        shown = f"{pair[0]:g} to {pair[1]:g}" if len(pair) == 2 and all(map(is_number, pair)) else repr(between)
        raise ValueError(f"what is made anew must lie in the clip, 0 <= start < end <= {seconds:g} s, not {shown}")
    return float(pair[0]), min(float(pair[1]), seconds)


def check_sides(edits: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds before and after a clip; not both 0 where it is to be extended."""
    sides = edits.get("left", 0.0), edits.get("right", 0.0)
    for name, value in zip(("left", "right"), sides, strict=True):
        check_seconds(value, 0, LONGEST, name)
    if ("left" in edits or "right" in edits) and not any(sides):
        raise ValueError("left and right are both 0: say by how many seconds the clip is to be extended")
    return sides


def split_timeline(prompt: Any, seconds: float) -> tuple[Any, Timeline]:
    """(first text, timeline) of [(second, text), ...]; any other prompt as it is, with no timeline."""
    items = list(prompt) if isinstance(prompt, Sequence) and not isinstance(prompt, str) else []
    if not items or not all(is_pair(item, (int, float), str) for item in items):
        return prompt, ()
    begins = [float(second) for second, _ in items]
    rising = all(now < then for now, then in pairwise(begins))
    if not all(map(math.isfinite, begins)) or begins[0] != 0 or not rising or begins[-1] >= seconds:
        raise ValueError(f"the seconds of the prompts must rise from 0 to below {seconds:g}, not {begins}")
    return items[0][1], tuple((second, text) for second, (_, text) in zip(begins, items, strict=True))


def timeline_masks(seconds: Sequence[float], places: Tensor, border: float) -> list[Tensor]:
    """Masks [T] of prompts that begin at these seconds, each giving way to the next within `border` seconds; places
    [T]: the second of each latent. They sum to 1 from the first begin on."""
    rises = [((places - second) / border + 0.5).clamp(0, 1) for second in seconds]
    return [rise - after for rise, after in zip(rises, [*rises[1:], torch.zeros(len(places))], strict=True)]
