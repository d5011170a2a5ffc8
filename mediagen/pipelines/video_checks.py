"""What may be asked of a clip: every refusal is one ValueError that names the value and what would be right."""

from collections.abc import Mapping
from typing import Any

from .timed import check_seconds

MOST_FRAMES = 20_000  # of one clip; what is made by continuation may go on
FACTORS = (2, 4)
OF_A_CLIP = ("mask", "between", "left", "right", "factor")


def check_edits(edits: Mapping[str, Any], seconds: Any, start: Any, loop: Any) -> None:
    """Refuse what contradicts itself: an edit of no clip, two edits at once, a length that follows from something
    else."""
    changed = [name for name in OF_A_CLIP if name in edits]
    ends = [name for name in ("first", "last") if name in edits]
    if changed and start is None:
        raise ValueError(f"{changed[0]} is of a clip that is there already: give one to start from")
    if start is not None and (seconds is not None or loop or ends):
        raise ValueError("seconds, loop, first and last are of a new clip: one to start from has its own length")
    kinds = [kind for kind in (("mask", "between"), ("left", "right"), ("factor",)) if set(kind) & set(changed)]
    if len(kinds) > 1:
        raise ValueError(f"{kinds[0][0]} and {kinds[1][0]} are different edits: one after the other")
    if loop and "last" in edits:
        raise ValueError("a loop has no last frame: leave out last, or loop")
    if "factor" in edits and edits["factor"] not in FACTORS:
        raise ValueError(f"factor must be 2 or 4, twice or four times the frames, not {edits['factor']!r}")
    if "motion" in edits:
        check_seconds(edits["motion"], 0, 1, "motion")


def check_same_size(what: str, size: tuple[int, int], other: str, wanted: tuple[int, int]) -> None:
    if tuple(size) != tuple(wanted):
        shown = [f"{width}x{height}" for width, height in (size, wanted)]
        raise ValueError(f"the {what} is {shown[0]}, the {other} {shown[1]}; they must agree")


def check_count(frames: int) -> None:
    if not 1 <= frames <= MOST_FRAMES:
        raise ValueError(f"a clip must have 1 to {MOST_FRAMES} frames, not {frames}: ask for fewer seconds")
