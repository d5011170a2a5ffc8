"""Chords, pads and bass lines: patterns of steps read against the chords.

Chords move to the nearest voicing; a pad ties the tones that two chords share; a bass line has the root where a chord
begins and leads from each root to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .outline import one
from .plan import Note, Outline, Span
from .theory import Chord, ladder, nearest, scale_classes, voiced
from .world import GroovesWorld, Instrument

LOUD = {"C": 88, "c": 74, "S": 84, "s": 68}
LOW, HIGH = 28, 55  # keys of a bass line, where the instrument has them


@dataclass(frozen=True, kw_only=True)
class Step:
    """One sign of a pattern that sounds: beat, length in beats up to the next sign, the chord there.

    first: whether the chord begins here.
    """

    sign: str
    start: float
    length: float
    span: Span
    first: bool


def steps(form: Outline, chords: Sequence[Span], text: str) -> list[Step]:
    """A pattern laid over the body of a piece, bar after bar. A chord that begins under a held sign sounds anew."""
    grid, per_beat = form.metre.grid, form.metre.steps
    changes = {round(span.start * per_beat): span for span in chords}
    signs: list[tuple[int, str]] = []
    for at in range(form.body * grid):
        sign = text[at % len(text)]
        if at in changes and sign == "-":
            sign = next(s for s in text if s not in "-.")
        signs.append((at, sign))
    return list(_sounding(form, signs, changes))


def _sounding(form: Outline, signs: list[tuple[int, str]], changes: dict[int, Span]) -> Iterator[Step]:
    span = changes[0]
    for at, sign in signs:
        span = changes.get(at, span)
        if sign in "-.":
            continue
        held = 1
        while at + held < len(signs) and signs[at + held][1] == "-" and at + held not in changes:
            held += 1
        n = form.metre.steps
        yield Step(sign=sign, start=at / n, length=held / n, span=span, first=at in changes)


def chosen(world: GroovesWorld, form: Outline, role: str, rng: np.random.Generator) -> str:
    """The string of a role's pattern in the metre of the piece."""
    return one(rng, world.patterns[role][form.patterns[role]][form.metre.name])


def comping(form: Outline, chords: Sequence[Span], text: str, role: str = "chords") -> list[Note]:
    """The chords of a piece (or its pad), in straight time, with the last chord held."""
    low, high = _register(form, role)
    shapes: dict[float, tuple[int, ...]] = {}
    before: tuple[int, ...] | None = None
    for span in chords:
        before = shapes[span.start] = voiced(span.chord, before, low, high)
    notes: list[Note] = []
    for step in steps(form, chords, text):
        notes += _struck(step, shapes[step.span.start], high)
    final = chords[-1]
    notes += [Note(start=final.start, length=final.length, pitch=p, velocity=80) for p in shapes[final.start]]
    return _tied(notes) if role == "pad" else notes


def _register(form: Outline, role: str) -> tuple[int, int]:
    """Lowest and highest key of a chord part: lower under a lead, in a solo, and for power chords."""
    instrument = form.instruments[role]
    assert isinstance(instrument, Instrument)
    power = "5" in form.genre.harmony[form.mode].final
    low = 40 if power else 44 if form.arrangement == "solo" else 49 if "lead" in form.instruments else 53
    low = max(low, instrument.range[0])
    return low, min(low + 24, instrument.range[1])


def _struck(step: Step, shape: tuple[int, ...], high: int) -> list[Note]:
    """The notes of one sign: the whole chord, or one voice counted from below (an octave up past the last)."""
    if step.sign.isdigit():
        octave, voice = divmod(int(step.sign), len(shape))
        pitch = shape[voice] + 12 * octave
        return [Note(start=step.start, length=step.length, pitch=pitch if pitch <= high else shape[voice], velocity=74)]
    length = step.length * (0.6 if step.sign in "sS" else 1.0)
    return [Note(start=step.start, length=length, pitch=p, velocity=LOUD[step.sign]) for p in shape]


def _tied(notes: list[Note]) -> list[Note]:
    """Notes of one pitch that touch become one, so that a pad moves only the voices that change."""
    found: dict[int, list[Note]] = {}
    for note in sorted(notes):
        line = found.setdefault(note.pitch, [])
        if line and abs(line[-1].end - note.start) < 1e-6:
            line[-1] = replace(line[-1], length=line[-1].length + note.length)
        else:
            line.append(note)
    return sorted(note for line in found.values() for note in line)


def bass(form: Outline, chords: Sequence[Span], text: str, rng: np.random.Generator) -> list[Note]:
    """The bass line of a piece, in straight time, with the last root held."""
    instrument = form.instruments["bass"]
    assert isinstance(instrument, Instrument)
    low = max(LOW, instrument.range[0])
    high = min(max(HIGH, low + 19), instrument.range[1])
    roots = _roots(chords, low, high)
    found = steps(form, chords, text)
    notes: list[Note] = []
    for i, step in enumerate(found):
        at = chords.index(step.span)
        line = _Line(form=form, root=roots[at], after=roots[min(at + 1, len(roots) - 1)], low=low, high=high)
        left = 1 + sum(other.span is step.span for other in found[i + 1 :])
        pitch = line.root if step.first else line.pitch(step, notes[-1].pitch if notes else line.root, left, rng)
        notes.append(Note(start=step.start, length=step.length, pitch=pitch, velocity=92 if step.first else 82))
    final = chords[-1]
    return [*notes, Note(start=final.start, length=final.length, pitch=roots[-1], velocity=90)]


def _roots(chords: Sequence[Span], low: int, high: int) -> list[int]:
    """The root of every chord, each near the one before and in the lower part of the register."""
    found: list[int] = []
    for span in chords:
        choices = ladder(frozenset({span.chord.root}), low, min(low + 14, high))
        found.append(nearest(choices, 0.6 * found[-1] + 0.4 * (low + 6) if found else low + 5))
    return found


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A bass line over one chord: its root and the next one, and the register."""

    form: Outline
    root: int
    after: int
    low: int
    high: int

    def pitch(self, step: Step, before: int, left: int, rng: np.random.Generator) -> int:
        chord = step.span.chord
        match step.sign:
            case "R":
                return self.root
            case "o":
                return self.root + 12 if self.root + 12 <= self.high else self.root
            case "n":
                return self.after
            case "a":
                return self._leading(before, chord, rng)
            case "w":
                return self._walked(before, left, chord, rng)
            case "5":
                return self._above(chord.nth(7, 6))
            case "3":
                return self._above(chord.nth(4, 3, 5, 2))
            case "6":
                return self._above(chord.nth(9, 7))
            case "7":
                return self._above(chord.nth(10, 11, 9, 7))
        raise ValueError(f"bass pattern: {step.sign!r} is no sign; known are R o 5 3 6 7 w a n - .")

    def _above(self, pitch_class: int) -> int:
        """A tone of the chord above the root, or below it where the register ends."""
        pitch = self.root + (pitch_class - self.root) % 12
        return pitch if pitch <= self.high or pitch - 12 < self.low else pitch - 12

    def _scale(self, chord: Chord) -> list[int]:
        return ladder(scale_classes(self.form.tonic, self.form.mode, "mode", chord), self.low, self.high)

    def _leading(self, before: int, chord: Chord, rng: np.random.Generator) -> int:
        """A note beside the next root: of the scale, or a semitone away in genres that walk or have blue notes."""
        chromatic = self.form.genre.chromatic > 0 or self.form.genre.scale == "blues"
        near = [self.after + d for d in (-2, -1, 1, 2) if self.low <= self.after + d <= self.high]
        inside = [p for p in near if p in self._scale(chord)] or near
        half = [p for p in near if abs(p - self.after) == 1]
        choices = half if chromatic and half and rng.random() < 0.6 else inside
        return nearest(choices, (before + self.after) / 2)

    def _walked(self, before: int, left: int, chord: Chord, rng: np.random.Generator) -> int:
        """A step of a walk: a chord tone or scale tone on the way to the next root, never the note just played."""
        goal = before + (self.after - before) / max(left, 1) + float(rng.normal(0, 2.5))
        tones = ladder(chord.classes, self.low, self.high) if rng.random() < 0.6 else self._scale(chord)
        choices = [p for p in tones if p != before and abs(p - before) <= 8]
        return nearest(choices or [p for p in self._scale(chord) if p != before], goal)
