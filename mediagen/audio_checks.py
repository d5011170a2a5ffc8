"""What may be asked of sound: every refusal is one ValueError that names the value and what would be right."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from .modalities.audio_signal import LOUDNESS
from .pipeline import is_pair

LONGEST = 600.0  # seconds of one piece; a stream has no end
MOST_BARS, MOST_BEATS, BPM = 256, 32, (20.0, 400.0)

Timeline = tuple[tuple[float, str], ...]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_seconds(value: Any, low: float, high: float, name: str = "seconds") -> None:
    if not is_number(value) or not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, not {value!r}")


def check_edits(edits: Mapping[str, Any], seconds: Any, start: Any, loop: Any) -> None:
    """Refuse what contradicts itself: an edit of no clip, a length that follows from something else."""
    changed = [name for name in ("between", "left", "right", "alone") if name in edits]
    if changed and start is None:
        raise ValueError(f"{changed[0]} is of a clip that is there already: give one to start from")
    if start is not None and (seconds is not None or loop or "bars" in edits):
        raise ValueError("seconds, bars and loop are of new sound: a clip to start from has its own length")
    if "alone" in edits and len(changed) > 1:
        raise ValueError(f"alone accompanies the clip and {changed[0]} changes it: one after the other")
    if "between" in edits and len(changed) > 1:
        raise ValueError(f"between mends the inside and {changed[1]} extends the outside: one after the other")
    if "bars" in edits and seconds is not None:
        raise ValueError("a loop's seconds follow from its bars, beats and bpm: leave out seconds, or bars")
    if "bars" not in edits and ("beats" in edits or "bpm" in edits):
        raise ValueError("beats and bpm are of a loop: say how many bars")
    if "lufs" in edits and changed:
        raise ValueError("the loudness of a clip cannot change where its samples stay: leave out lufs")
    if "lufs" in edits:
        check_seconds(edits["lufs"], *LOUDNESS, name="lufs")


def check_measure(bars: Any, beats: Any, bpm: Any) -> float:
    """Seconds of so many bars."""
    for name, value, most in (("bars", bars, MOST_BARS), ("beats", beats, MOST_BEATS)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(f"{name} must be a whole number from 1 to {most}, not {value!r}")
    check_seconds(bpm, *BPM, name="bpm")
    return bars * beats * 60 / bpm


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
