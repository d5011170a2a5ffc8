"""A piece as a symbolic plan: the exact grid, the chords, and every note of every part. Rendering reads nothing else.

Times are in felt beats from the start of the clip, which is the first beat of the first bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .theory import Chord
from .world import Genre, Instrument, Kit, Metre


@dataclass(frozen=True, kw_only=True, order=True)
class Note:
    """start and length in beats, swing included; pitch a MIDI key (of a drum, its General MIDI key); velocity 1-127."""

    start: float
    pitch: int
    length: float
    velocity: int

    @property
    def end(self) -> float:
        return self.start + self.length


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a piece: its role (lead, chords, pad, bass, drums), what plays it, and its notes in order.

    enters: the bar of its first note where it joins later than the others, else 0.
    """

    role: str
    instrument: Instrument | Kit
    pattern: str
    notes: tuple[Note, ...]
    enters: int = 0

    @property
    def drums(self) -> bool:
        return isinstance(self.instrument, Kit)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A chord and where it sounds, in beats."""

    start: float
    length: float
    chord: Chord

    @property
    def end(self) -> float:
        return self.start + self.length


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The form of a piece, before its notes. bars: all, of which the last holds the final tonic. phrase: bars of one.

    ends: whether the clip has that last bar and `tail` seconds in which it rings; else it stops where the bar would
    begin, after whole bars, as a loop does. instruments and patterns by role; enters: role -> bar.
    """

    genre: Genre
    arrangement: str
    metre: Metre
    tempo: int
    swing: float
    tonic: int
    mode: str
    bars: int
    phrase: int
    ends: bool
    tail: float
    instruments: dict[str, Instrument | Kit]
    patterns: dict[str, str]
    enters: dict[str, int]

    @property
    def beat(self) -> float:
        """Seconds of a felt beat."""
        return 60.0 / self.tempo

    @property
    def beats(self) -> int:
        """Beats of all bars, the last one included though the clip may stop before it."""
        return self.bars * self.metre.beats

    @property
    def heard(self) -> int:
        """Bars that the clip has."""
        return self.bars if self.ends else self.body

    @property
    def seconds(self) -> float:
        """Of the whole clip, its tail included."""
        return self.heard * self.metre.beats * self.beat + (self.tail if self.ends else 0.0)

    @property
    def body(self) -> int:
        """Bars before the last."""
        return self.bars - 1

    def starts_phrase(self, bar: int) -> bool:
        return bar % self.phrase == 0

    def ends_phrase(self, bar: int) -> bool:
        """Whether a bar is the last of a phrase; the final held bar belongs to none."""
        return bar < self.body and (bar + 1) % self.phrase == 0

    def warped(self, beat: float) -> float:
        """Where a straight position of the grid falls with swing; whole beats stay."""
        unit = 1.0 / self.genre.swing_unit
        whole, part = divmod(beat + 1e-9, unit)
        share = max(part - 1e-9, 0.0) / unit
        bent = share * 2 * self.swing if share < 0.5 else self.swing + (share - 0.5) * 2 * (1 - self.swing)
        return round((whole + bent) * unit, 9)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A whole piece: its outline, chords, parts, and the spans of its drum fills in beats."""

    outline: Outline
    chords: tuple[Span, ...]
    parts: tuple[Part, ...]
    fills: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        return self.outline.seconds

    @cached_property
    def by_role(self) -> dict[str, Part]:
        return {part.role: part for part in self.parts}

    def chord_at(self, beat: float) -> Span:
        """The chord that sounds at a beat."""
        return next(s for s in reversed(self.chords) if s.start <= beat + 1e-6)
