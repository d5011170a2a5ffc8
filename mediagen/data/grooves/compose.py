"""A piece from (world, seed, split, index) alone: the same plan in any order and in any process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .backing import bass, chosen, comping
from .drums import drums
from .melody import melody
from .outline import Split, harmonised, outline, stream
from .plan import Note, Outline, Part, Piece, Span
from .world import ROLES, GroovesWorld, Kit


def is_effect(world: GroovesWorld, seed: int, index: int, split: Split = "train") -> bool:
    """Whether the clip of this index is a sound effect and no piece of music."""
    return bool(stream(seed, split, index, "kind").random() < world.effects)


def piece(world: GroovesWorld, seed: int, index: int, split: Split = "train") -> Piece:
    """The plan of one piece of music. ValueError for an unknown split or a negative number."""
    form = outline(world, stream(seed, split, index, "outline"), split)
    chords = harmonised(form, stream(seed, split, index, "harmony"))
    parts: list[Part] = []
    fills: tuple[tuple[float, float], ...] = ()
    for role in ROLES:
        if role not in form.instruments:
            continue
        rng = stream(seed, split, index, role)
        if role == "drums":
            notes, fills = drums(form, world.grooves[form.patterns[role]], rng)
        else:
            notes = _line(world, form, chords, role, rng)
        played = _performed(form, role, _entered(form, role, notes), rng)
        parts.append(_part(form, role, played))
    first = _first_drum(form)
    return Piece(outline=form, chords=chords, parts=tuple(parts), fills=tuple(f for f in fills if f[0] >= first))


def _line(
    world: GroovesWorld, form: Outline, chords: Sequence[Span], role: str, rng: np.random.Generator
) -> list[Note]:
    if role == "lead":
        return melody(form, chords, world, rng)
    text = chosen(world, form, role, rng)
    return bass(form, chords, text, rng) if role == "bass" else comping(form, chords, text, role)


def _part(form: Outline, role: str, notes: Sequence[Note]) -> Part:
    return Part(
        role=role,
        instrument=form.instruments[role],
        pattern=form.patterns[role],
        notes=tuple(sorted(notes)),
        enters=form.enters.get(role, 0),
    )


def _first_drum(form: Outline) -> float:
    return float(form.enters.get("drums", 0) * form.metre.beats)


def _entered(form: Outline, role: str, notes: Sequence[Note]) -> list[Note]:
    """The notes from the bar on where a part joins."""
    first = form.enters.get(role, 0) * form.metre.beats
    return [note for note in notes if note.start >= first - 1e-6]


def _performed(form: Outline, role: str, notes: Sequence[Note], rng: np.random.Generator) -> list[Note]:
    """Notes as they are played: swung, inside their range, louder on strong beats and towards the end of a phrase."""
    force = 0.74 + 0.32 * form.genre.energy
    found = []
    for note in notes:
        start = form.warped(note.start)
        length = max(form.warped(note.end) - start, 0.05) * (0.96 if role == "lead" else 1.0)
        within = (note.start / form.metre.beats) % form.phrase / form.phrase
        accent = 5 if abs(note.start % form.metre.beats) < 1e-6 else 0
        velocity = note.velocity * force + accent + 6 * within + float(rng.normal(0, 4))
        velocity = int(min(max(round(velocity), 20), 124))
        found.append(
            replace(note, start=start, length=length, velocity=velocity, pitch=_folded(form, role, note.pitch))
        )
    return found


def _folded(form: Outline, role: str, pitch: int) -> int:
    """A pitch moved by octaves into the range of its instrument; drums stay."""
    instrument = form.instruments[role]
    if isinstance(instrument, Kit):
        return pitch
    low, high = instrument.range
    while pitch > high:
        pitch -= 12
    while pitch < low:
        pitch += 12
    return pitch
