"""What may be asked of sound: every refusal is one ValueError that names the value and what would be right."""

from collections.abc import Mapping
from typing import Any

from ..modalities.audio_signal import LOUDNESS
from .timed import check_seconds

MOST_BARS, MOST_BEATS, BPM = 256, 32, (20.0, 400.0)


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
    if "bars" not in edits and "beats" in edits:
        raise ValueError("beats are of a loop: say how many bars")
    if "bpm" in edits:
        check_seconds(edits["bpm"], *BPM, name="bpm")
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
