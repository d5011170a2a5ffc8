"""Keys, modes and chords: Roman numerals to pitches, and the voicing nearest to the one before.

Pitches are MIDI keys (60 is middle C); pitch classes are 0 (C) to 11 (B).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
SCALES = {  # of a lead: pitch classes above the tonic, by the third of the mode
    "pentatonic": {4: (0, 2, 4, 7, 9), 3: (0, 3, 5, 7, 10)},
    "blues": {4: (0, 3, 5, 6, 7, 10), 3: (0, 3, 5, 6, 7, 10)},
}
SHARP = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLAT = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
MAJOR_KEYS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MINOR_KEYS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")

DEGREES = {"I": 0, "II": 2, "III": 4, "IV": 5, "V": 7, "VI": 9, "VII": 11}
UPPER = {
    "": (0, 4, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "9": (0, 4, 7, 10, 14),
    "maj9": (0, 4, 7, 11, 14),
    "6": (0, 4, 7, 9),
    "add9": (0, 4, 7, 14),
    "sus4": (0, 5, 7),
    "sus2": (0, 2, 7),
    "5": (0, 7),
}
LOWER = {
    "": (0, 3, 7),
    "7": (0, 3, 7, 10),
    "9": (0, 3, 7, 10, 14),
    "6": (0, 3, 7, 9),
    "add9": (0, 3, 7, 14),
    "ø7": (0, 3, 6, 10),
    "°": (0, 3, 6),
    "5": (0, 7),
}
_NUMERAL = re.compile(r"([b#]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)")


@dataclass(frozen=True, kw_only=True)
class Chord:
    """A chord: root (pitch class), intervals above it in semitones, its name ("Am7") and numeral ("vi7")."""

    root: int
    intervals: tuple[int, ...]
    name: str
    numeral: str

    @property
    def classes(self) -> frozenset[int]:
        return frozenset((self.root + i) % 12 for i in self.intervals)

    def nth(self, *intervals: int) -> int:
        """Pitch class of the first of these intervals that the chord has, else of its fifth or root."""
        found = next((i for i in intervals if i in self.intervals), None)
        fifth = next((i for i in (7, 6) if i in self.intervals), 0)
        return (self.root + (fifth if found is None else found)) % 12


def chord(numeral: str, tonic: int, flats: bool = False) -> Chord:
    """A Roman numeral, relative to the major scale on `tonic`: I, vi7, bVII, V7, iiø7 ... ValueError if it is none."""
    match = _NUMERAL.fullmatch(numeral)
    kinds = UPPER if match and match[2].isupper() else LOWER
    if match is None or match[3] not in kinds:
        raise ValueError(f"{numeral!r} is no chord; write for example I, vi7, bVII or iiø7")
    shift = {"b": -1, "#": 1, "": 0}[match[1]]
    root = (tonic + DEGREES[match[2].upper()] + shift) % 12
    minor = "m" if kinds is LOWER and match[3] not in ("5", "°", "ø7") else ""
    quality = {"°": "dim", "ø7": "m7b5"}.get(match[3], match[3])
    return Chord(
        root=root,
        intervals=kinds[match[3]],
        name=f"{(FLAT if flats else SHARP)[root]}{minor}{quality}",
        numeral=numeral,
    )


def is_minor(mode: str) -> bool:
    """Whether a mode has the minor third."""
    return 3 in MODES[mode]


def key_name(tonic: int, mode: str) -> str:
    """C, F#, Bb: the usual spelling of a tonic in a mode."""
    return (MINOR_KEYS if is_minor(mode) else MAJOR_KEYS)[tonic]


def uses_flats(tonic: int, mode: str) -> bool:
    """Whether the chords of a key are spelled with flats."""
    name = key_name(tonic, mode)
    return "b" in name or name == "F" or (is_minor(mode) and name in ("C", "D", "G"))


def scale_classes(tonic: int, mode: str, scale: str, over: Chord) -> frozenset[int]:
    """Pitch classes that a lead may use over a chord: the scale, bent to the chord's tones.

    A tone from outside takes the place of its neighbour: a major third or seventh was raised, any other lowered.
    """
    steps = MODES[mode] if scale == "mode" else SCALES[scale][3 if is_minor(mode) else 4]
    own = over.classes
    if scale != "mode":  # blue notes may rub against the chord; its own tones are there in any case
        return frozenset((tonic + s) % 12 for s in steps) | own
    foreign = own - {(tonic + s) % 12 for s in steps}
    natural = {(c - 1 if (c - over.root) % 12 in (4, 11) else c + 1) % 12 for c in foreign}
    return (frozenset((tonic + s) % 12 for s in steps) - natural) | own


def ladder(classes: frozenset[int], low: int, high: int) -> list[int]:
    """Every pitch of these classes in low..high, rising."""
    return [p for p in range(low, high + 1) if p % 12 in classes]


def nearest(pitches: list[int], target: float) -> int:
    """The pitch nearest to a target; the lower of two."""
    return min(pitches, key=lambda p: (abs(p - target), p))


def voicings(of: Chord, low: int, high: int) -> list[tuple[int, ...]]:
    """Close voicings of a chord, every inversion, with the lowest note from `low` and the highest up to `high`.

    Chords of five tones leave out the fifth; power chords double the root.
    """
    intervals = [i for i in of.intervals if not (len(of.intervals) == 5 and i == 7)]
    classes = [(of.root + i) % 12 for i in intervals]
    if len(classes) == 2:
        roots = [p for p in range(low, high - 11) if p % 12 == of.root]
        return [(p, p + 7, p + 12) for p in roots]
    found = {
        _stacked(order, start) for order in _inversions(classes) for start in range(low, high) if start % 12 == order[0]
    }
    return sorted(v for v in found if v[-1] <= high)


def _inversions(classes: list[int]) -> list[tuple[int, ...]]:
    rising = sorted(set(classes))
    return [tuple(rising[i:] + rising[:i]) for i in range(len(rising))]


def _stacked(order: tuple[int, ...], start: int) -> tuple[int, ...]:
    return tuple(itertools.accumulate(order[1:], lambda below, c: below + ((c - below) % 12 or 12), initial=start))


def voiced(of: Chord, before: tuple[int, ...] | None, low: int, high: int) -> tuple[int, ...]:
    """The voicing in low..high that moves least from the one before; the middle of the range pulls a little."""
    choices = voicings(of, low, high)
    if not choices:
        raise ValueError(f"{of.name} does not fit between keys {low} and {high}; the range needs an octave and a fifth")
    middle = (low + high) / 2
    return min(choices, key=lambda v: (_moved(before, v) + 0.35 * abs(sum(v) / len(v) - middle), v))


def _moved(before: tuple[int, ...] | None, after: tuple[int, ...]) -> float:
    """Semitones that the voices move in all, each to the nearest note; 0 from nothing."""
    if before is None:
        return 0.0
    return (
        float(sum(min(abs(a - b) for b in before) for a in after) + sum(min(abs(a - b) for a in after) for b in before))
        / 2
    )
