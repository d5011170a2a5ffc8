"""Melodies: a motif of rhythm and contour, repeated, varied and answered in phrases, and bent to the chords.

Notes on strong beats are chord tones, the others belong to the scale over the chord; phrases end on a long note and a
breath; the piece ends on the tonic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .outline import one, pick
from .plan import Note, Outline, Span
from .theory import ladder, nearest, scale_classes
from .world import GroovesWorld, Instrument

WALK = {-4: 0.02, -3: 0.05, -2: 0.14, -1: 0.29, 0: 0.12, 1: 0.24, 2: 0.1, 3: 0.03, 4: 0.01}
PLANS = {4: ("aabz", "abaz", "aaaz", "abcz"), 2: ("az", "az", "aa"), 1: ("z", "a")}


@dataclass(frozen=True, kw_only=True)
class Motif:
    """Onsets and lengths in grid steps from the start of its first bar; contour in scale steps from its anchor."""

    onsets: tuple[int, ...]
    lengths: tuple[int, ...]
    contour: tuple[int, ...]


def melody(form: Outline, chords: Sequence[Span], world: GroovesWorld, rng: np.random.Generator) -> list[Note]:
    """The lead of a piece in straight time, its velocities still bare."""
    instrument = form.instruments["lead"]
    assert isinstance(instrument, Instrument)
    cells = {c: w for c, w in world.cells[form.patterns["lead"]].items() if len(c) == form.metre.steps}
    unit = 2 if form.phrase == 4 and rng.random() < 0.4 else 1
    themes = [{name: _motif(form, cells, unit, rng) for name in "ab"} for _ in range(2)]
    singer = _Singer(form=form, chords=chords, register=register(instrument, form.arrangement), rng=rng)
    plan = one(rng, PLANS[form.phrase // unit])
    notes: list[Note] = []
    for bar, motif in _units(form, unit, plan, themes, rng):
        notes += singer.sung(bar, motif, notes[-1].pitch if notes else None)
    notes = [note for note in notes if note.start < form.body * form.metre.beats]
    return [*_approached(notes, form, rng), _last(form, notes, singer.register)]


def register(instrument: Instrument, arrangement: str) -> tuple[int, int]:
    """Where an instrument sings: about two octaves around its best height, above the left hand in a solo."""
    low, high = instrument.range
    middle = min(76, (low + high) / 2 + 6)
    middle = min(max(middle, low + 8), high - 8)
    return max(low, round(middle) - (9 if arrangement != "solo" else 7)), min(high, round(middle) + 11)


def _units(
    form: Outline, unit: int, plan: str, themes: list[dict[str, Motif]], rng: np.random.Generator
) -> list[tuple[int, Motif]]:
    """(first bar, motif) of the whole body: the plan of a phrase, phrase after phrase; the third brings a new theme."""
    found = []
    for bar in range(0, form.body, unit):
        phrase, place = divmod(bar, form.phrase)
        theme = themes[1 if phrase % 4 == 2 else 0]
        letter = plan[place // unit]
        again = bar > 0 and letter != "z"
        motif = theme["b" if letter in "bc" else "a"]
        if letter == "z":
            motif = _closing(form, motif, unit)
        elif letter == "c":
            motif = replace(motif, contour=tuple(-c for c in motif.contour))
        elif again and rng.random() > form.genre.riff:
            motif = _varied(motif, rng)
        found.append((bar, motif))
    return found


def _motif(form: Outline, cells: dict[str, float], bars: int, rng: np.random.Generator) -> Motif:
    """A rhythm of beat cells with three onsets a bar or so where the style has them, and a contour that walks."""
    text = ""
    for _ in range(12):
        text = "".join(pick(rng, cells) for _ in range(form.metre.beats * bars))
        if text.count("x") > 2 * bars:
            break
    if "x" not in text:
        text = "x" + "-" * (len(text) - 1)
    onsets = tuple(i for i, c in enumerate(text) if c == "x")
    lengths = tuple(1 + len(text[i + 1 :]) - len(text[i + 1 :].lstrip("-")) for i in onsets)
    return Motif(onsets=onsets, lengths=lengths, contour=_contour(len(onsets), rng))


def _contour(count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Scale steps from the first note: mostly stepwise; a leap is answered by a step back."""
    places = [0]
    last = 0
    for _ in range(count - 1):
        step = pick(rng, WALK)
        if abs(last) > 2:
            step = -int(np.sign(last))
        if abs(places[-1] + step) > 5:
            step = -step
        places.append(places[-1] + step)
        last = step
    return tuple(places)


def _closing(form: Outline, motif: Motif, bars: int) -> Motif:
    """The end of a phrase: the motif's beginning, then a long note, then a breath of a beat."""
    grid, steps = form.metre.grid, form.metre.steps
    turn = (bars - 1) * grid + (grid // steps // 2) * steps  # the middle beat of the last bar
    kept = [i for i, onset in enumerate(motif.onsets) if onset < turn]
    stay = max(steps, bars * grid - turn - (steps if form.metre.beats > 2 else steps // 2))
    onsets = (*(motif.onsets[i] for i in kept), turn)
    lengths = (*(min(motif.lengths[i], turn - motif.onsets[i]) for i in kept), stay)
    return Motif(onsets=onsets, lengths=lengths, contour=(*(motif.contour[i] for i in kept), -1))


def _varied(motif: Motif, rng: np.random.Generator) -> Motif:
    """A motif said again: moved along the scale, with an ornament, with a shorter end, or with another end."""
    kind = one(rng, ("same", "up", "down", "ornament", "shorter", "end"))
    if kind in ("up", "down"):
        return replace(motif, contour=tuple(c + (1 if kind == "up" else -1) for c in motif.contour))
    if kind == "ornament" and max(motif.lengths) >= 4:
        return _ornamented(motif, int(np.argmax(motif.lengths)))
    if kind == "shorter" and len(motif.onsets) > 3:
        return Motif(onsets=motif.onsets[:-1], lengths=motif.lengths[:-1], contour=motif.contour[:-1])
    if kind == "end":
        return replace(motif, contour=(*motif.contour[:-1], motif.contour[-1] + one(rng, (-2, -1, 1, 2))))
    return motif


def _ornamented(motif: Motif, at: int) -> Motif:
    """The note `at` split in two, the second half a step above."""
    half = motif.lengths[at] // 2
    return Motif(
        onsets=(*motif.onsets[: at + 1], motif.onsets[at] + half, *motif.onsets[at + 1 :]),
        lengths=(*motif.lengths[:at], half, motif.lengths[at] - half, *motif.lengths[at + 1 :]),
        contour=(*motif.contour[: at + 1], motif.contour[at] + 1, *motif.contour[at + 1 :]),
    )


def strong(form: Outline, beat: float, length: float) -> bool:
    """Whether a note must be a chord tone: on the first or middle beat of a bar, or on a beat and a beat long."""
    place = beat % form.metre.beats
    on_beat = abs(beat - round(beat)) < 1e-6
    middle = form.metre.beats // 2 if form.metre.beats % 2 == 0 else form.metre.beats
    return on_beat and (place in (0, middle) or length >= 1 - 1e-6)


@dataclass(frozen=True, kw_only=True)
class _Singer:
    form: Outline
    chords: Sequence[Span]
    register: tuple[int, int]
    rng: np.random.Generator

    def sung(self, bar: int, motif: Motif, before: int | None) -> list[Note]:
        """The notes of a motif from a bar on, near the pitch before."""
        steps, first = self.form.metre.steps, bar * self.form.metre.beats
        low, high = self.register
        centre = (low + high) / 2
        near = centre if before is None else 0.6 * before + 0.4 * centre
        anchor = nearest(ladder(self._span(first).chord.classes, low, high), near)
        notes: list[Note] = []
        for onset, length, place in zip(motif.onsets, motif.lengths, motif.contour, strict=True):
            start, long = first + onset / steps, length / steps
            pitch = self._pitch(start, long, anchor, place, notes[-1].pitch if notes else before)
            notes.append(Note(start=start, length=long, pitch=pitch, velocity=84))
        return notes

    def _span(self, beat: float) -> Span:
        return next(s for s in reversed(self.chords) if s.start <= beat + 1e-6)

    def _pitch(self, start: float, length: float, anchor: int, place: int, before: int | None) -> int:
        """The anchor moved along the scale; a chord tone where it is strong; no leap beyond a sixth."""
        form, (low, high) = self.form, self.register
        over = self._span(start).chord
        tones = ladder(over.classes, low, high)
        rungs = ladder(scale_classes(form.tonic, form.mode, form.genre.scale, over), low, high)
        index = rungs.index(nearest(rungs, anchor)) + place
        index = abs(index) if index < len(rungs) else 2 * (len(rungs) - 1) - index
        pitch = rungs[max(index, 0)]
        choice = tones if strong(form, start, length) else rungs
        if before is not None and abs(pitch - before) > 9:
            pitch = nearest(choice, before + 7 * np.sign(pitch - before))
        return nearest(choice, pitch)


def _approached(notes: list[Note], form: Outline, rng: np.random.Generator) -> list[Note]:
    """Jazz and tango: some weak notes become the semitone below the note on the beat that follows."""
    found = list(notes)
    for i in range(len(notes) - 1):
        here, after = notes[i], notes[i + 1]
        close = here.length <= 0.5 and abs(after.start - here.end) < 1e-6 and strong(form, after.start, after.length)
        if close and not strong(form, here.start, here.length) and rng.random() < form.genre.chromatic:
            found[i] = replace(here, pitch=after.pitch - 1)
    return found


def _last(form: Outline, notes: list[Note], register: tuple[int, int]) -> Note:
    """The tonic nearest to where the melody was, held through the last bar."""
    tonics = ladder(frozenset({form.tonic}), *register)
    near = notes[-1].pitch if notes else sum(register) / 2
    return Note(
        start=float(form.body * form.metre.beats),
        length=float(form.metre.beats),
        pitch=nearest(tonics, near),
        velocity=88,
    )
