"""Drums: a groove bar after bar, a small twist every second bar, a fill at the end of a phrase, a crash after it."""

from __future__ import annotations

import numpy as np

from .outline import one
from .plan import Note, Outline
from .world import Groove

KEYS = {  # General MIDI drum keys
    "kick": 36, "rim": 37, "snare": 38, "clap": 39, "tom-low": 41, "hat": 42, "pedal": 44, "tom": 45, "open": 46,
    "tom-high": 48, "crash": 49, "ride": 51, "tambourine": 54, "cowbell": 56, "conga-mute": 62, "conga-high": 63,
    "conga-low": 64, "timbale": 65, "timbale-low": 66, "shaker": 70, "claves": 75, "triangle": 81,
}  # fmt: skip
STRENGTH = {"X": 112, "x": 88, "o": 52}
SOFTER = {"hat": 0.78, "open": 0.85, "ride": 0.85, "pedal": 0.75, "shaker": 0.7, "claves": 0.85, "triangle": 0.6,
          "tambourine": 0.7, "cowbell": 0.75, "crash": 0.9}  # fmt: skip
FILLS = {  # the drums that a fill runs through, and how loud it is
    "toms": (("snare", "tom-high", "tom", "tom-low"), 1.0),
    "snare": (("snare",), 0.95),
    "claps": (("clap", "snare"), 0.95),
    "latin": (("timbale", "timbale-low", "conga-low"), 1.0),
    "brush": (("snare", "tom-low"), 0.75),
}
RHYTHMS = {4: ("xxxx", "x.xx", "xx.x", "x.x.", "x.xx"), 6: ("x.x.x.", "xxx.x.", "x.xxx.", "xxxxxx")}
TWISTS = ("kick", "open", "snare", "conga-low", "none", "none")


def drums(
    form: Outline, groove: Groove, rng: np.random.Generator
) -> tuple[list[Note], tuple[tuple[float, float], ...]]:
    """The drum part in straight time, and the spans of its fills in beats."""
    beats = form.metre.beats
    style = one(rng, form.genre.fills)
    twist = (one(rng, TWISTS), int(rng.integers(1, form.metre.grid)))
    notes: list[Note] = []
    fills: list[tuple[float, float]] = []
    for bar in range(form.body):
        start = float(bar * beats)
        played = _bar(form, groove, bar, twist)
        if form.ends_phrase(bar) and form.body > 1:
            length = _fill_length(form, rng)
            fills.append((start + beats - length, start + beats))
            played = [n for n in played if n.start < fills[-1][0] - 1e-6 or n.pitch == KEYS["kick"]]
            played += _fill(form, style, fills[-1], rng)
        if bar and form.starts_phrase(bar):
            played += _crash(form, groove, start)
        notes += played
    return [*notes, *_ending(form, groove)], tuple(fills)


def _bar(form: Outline, groove: Groove, bar: int, twist: tuple[str, int]) -> list[Note]:
    grid, first = form.metre.grid, bar * form.metre.beats
    notes = []
    for lane, text in groove.lanes.items():
        part = text[bar * grid % len(text) :][:grid]
        notes += [_hit(form, lane, first + i / form.metre.steps, STRENGTH[c]) for i, c in enumerate(part) if c != "."]
    lane, at = twist
    if bar % 2 and lane in groove.lanes and groove.lanes[lane][at] == ".":
        notes.append(_hit(form, lane, first + at / form.metre.steps, STRENGTH["o" if lane == "snare" else "x"]))
    return notes


def _hit(form: Outline, lane: str, start: float, strength: float) -> Note:
    velocity = round(strength * SOFTER.get(lane, 1.0))
    return Note(start=start, length=1 / form.metre.steps, pitch=KEYS[lane], velocity=velocity)


def _fill_length(form: Outline, rng: np.random.Generator) -> int:
    """Beats: one, or two where the bar has four and the genre has the force for it."""
    return 2 if form.metre.beats == 4 and rng.random() < 0.2 + 0.4 * form.genre.energy else 1


def _fill(form: Outline, style: str, span: tuple[float, float], rng: np.random.Generator) -> list[Note]:
    """A run over the drums of the style, growing louder towards the next phrase."""
    path, loud = FILLS[style]
    per_beat = form.metre.steps
    text = "".join(one(rng, RHYTHMS[per_beat]) for _ in range(round(span[1] - span[0])))
    notes = []
    for i, sign in enumerate(text):
        if sign == "x":
            share = i / len(text)
            lane = path[int(share * len(path))]
            notes.append(_hit(form, lane, span[0] + i / per_beat, loud * (84 + 28 * share)))
    return notes


def _crash(form: Outline, groove: Groove, start: float) -> list[Note]:
    loud = form.genre.energy >= 0.5 and "kick" in groove.lanes
    return [_hit(form, "crash", start, 100)] if loud else []


def _ending(form: Outline, groove: Groove) -> list[Note]:
    """One stroke on the last tonic: crash and kick, or the softest thing that the groove has."""
    start = float(form.body * form.metre.beats)
    if "kick" in groove.lanes:
        cymbal = "crash" if form.genre.energy >= 0.4 else "ride"
        return [_hit(form, "kick", start, 104), _hit(form, cymbal, start, 60 + 45 * form.genre.energy)]
    return [_hit(form, next(iter(groove.lanes)), start, 100)]
