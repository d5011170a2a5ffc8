"""The form of a piece: genre, arrangement, instruments, tempo, key, length; held-out combinations kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from zlib import crc32

import numpy as np

from .plan import Outline, Span
from .theory import chord, uses_flats
from .world import METRES, Genre, GroovesWorld, Instrument, Kit

Split = Literal["train", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "heldout")
BODIES = (1, 2, 4, 8, 12, 16, 24)  # bars before the last; a single one only where two are too long
TRIES = 20_000
ALONE = ("drums", "bass", "lead", "chords")
FIXED = {"duo": ("lead", "chords"), "rhythm": ("bass", "drums"), **{role: (role,) for role in ALONE}}


def stream(seed: int, split: Split, index: int, purpose: str) -> np.random.Generator:
    """Random numbers of one clip for one purpose, so that a change in one part of a piece moves no other."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it must be 'train' or 'heldout'")
    if index < 0 or seed < 0:
        raise ValueError(f"seed {seed} and index {index} must not be negative")
    return np.random.default_rng([seed, SPLITS.index(split), index, crc32(purpose.encode())])


def pick(rng: np.random.Generator, weights: Mapping[Any, float]) -> Any:
    """A key of the mapping, by weight."""
    total = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(total, rng.random() * total[-1], side="right"))]


def one(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    """Any of the choices, all alike."""
    return choices[int(rng.integers(len(choices)))]


def outline(world: GroovesWorld, rng: np.random.Generator, split: Split) -> Outline:
    """Draws the form of a piece: a held-out combination only when split is "heldout", never when it is "train"."""
    if split == "heldout" and not world.heldout:
        raise ValueError(f"world {world.name!r} holds nothing out, so it has no held-out pieces")
    for _ in range(TRIES):
        genre = world.genres[pick(rng, {name: g.weight for name, g in world.genres.items()})]
        arrangement = pick(rng, world.arrangements)
        instruments = _instruments(world, rng, genre, arrangement)
        if instruments is None or holds(world, genre.name, instruments) != (split == "heldout"):
            continue
        made = _formed(world, rng, genre, arrangement, instruments)
        if made is not None:
            return made
    raise ValueError(f"world {world.name!r}: no {split} piece found in {TRIES} tries; its genres are too few")


def holds(world: GroovesWorld, genre: str, instruments: Mapping[str, Instrument | Kit]) -> bool:
    """Whether a piece shows a held-out combination: genre x lead, or lead x chord instrument."""
    lead, chords = instruments.get("lead"), instruments.get("chords")
    if lead is None:
        return False
    backed = chords is not None and chords.name != lead.name and world.held_out(lead.name, chords.name)
    return backed or world.held_out(genre, lead.name)


def _instruments(
    world: GroovesWorld, rng: np.random.Generator, genre: Genre, arrangement: str
) -> dict[str, Instrument | Kit] | None:
    """Who plays which role, or None where the genre has no such arrangement."""
    if arrangement == "solo":
        name = one(rng, genre.solo)
        alone = world.instruments[name]
        return {"lead": alone, "chords": alone} if chordal(world, name) else {"lead": alone}
    roles = _roles(rng, genre, arrangement)
    if roles is None:
        return None
    found: dict[str, Instrument | Kit] = {}
    for role in roles:
        names = genre.roles[role].instruments
        free = [n for n in names if n not in {i.name for i in found.values()}] or list(names)
        found[role] = world.kits[one(rng, names)] if role == "drums" else world.instruments[one(rng, free)]
    return found


def chordal(world: GroovesWorld, name: str) -> bool:
    """Whether an instrument plays chords in any genre, so that it can play a piece all by itself."""
    return any(name in genre.roles["chords"].instruments for genre in world.genres.values())


def _roles(rng: np.random.Generator, genre: Genre, arrangement: str) -> list[str] | None:
    chances = {role: voice.play for role, voice in genre.roles.items()}
    if arrangement in FIXED:
        return list(FIXED[arrangement]) if all(chances[role] for role in FIXED[arrangement]) else None
    roles = [role for role, chance in chances.items() if rng.random() < chance]
    if arrangement == "backing":
        roles = [role for role in roles if role != "lead"]
    harmonic = {"lead", "chords", "pad"} & set(roles)
    return roles if len(roles) >= (2 if genre.energy < 0.1 else 3) and harmonic else None


def _formed(
    world: GroovesWorld,
    rng: np.random.Generator,
    genre: Genre,
    arrangement: str,
    instruments: dict[str, Instrument | Kit],
) -> Outline | None:
    metre = METRES[pick(rng, genre.metres)]
    tempo = round(float(rng.uniform(*genre.tempo)))
    tail = float(rng.uniform(0.4, 0.8)) + 0.5 * genre.room[1]
    ends = bool(rng.random() < world.endings)
    bar = metre.beats * 60 / tempo
    body = _body(world, rng, {n: (n + 1) * bar + tail if ends else n * bar for n in BODIES})
    if body is None:
        return None
    patterns = {role: str(one(rng, world.fitting(genre, role, metre))) for role in instruments}
    phrase = min(4, body)
    return Outline(
        genre=genre,
        arrangement=arrangement,
        metre=metre,
        tempo=tempo,
        swing=float(rng.uniform(*genre.swing)),
        tonic=int(rng.integers(12)),
        mode=pick(rng, {mode: h.weight for mode, h in genre.harmony.items()}),
        bars=body + 1,
        phrase=phrase,
        ends=ends,
        tail=tail,
        instruments=instruments,
        patterns=patterns,
        enters=_entries(rng, arrangement, list(instruments), body),
    )


def _body(world: GroovesWorld, rng: np.random.Generator, seconds: Mapping[int, float]) -> int | None:
    """Bars before the last, so that the clip is nearest to a length drawn log-uniformly; None if none fits.

    seconds: bars -> length of the clip.
    """
    low, high = world.seconds
    wanted = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    fitting = [n for n, length in seconds.items() if low <= length <= high]
    several = [n for n in fitting if n > 1] or fitting
    return min(several, key=lambda n: abs(np.log(seconds[n] / wanted))) if several else None


def _entries(rng: np.random.Generator, arrangement: str, roles: list[str], body: int) -> dict[str, int]:
    """Role -> bar for a part that joins at the second phrase of a longer piece; most pieces have none."""
    late = [role for role in ("drums", "lead", "bass") if role in roles]
    if arrangement != "band" or body < 8 or len(roles) < 3 or rng.random() > 0.3:
        return {}
    return {one(rng, late): 4} if late else {}


def harmonised(form: Outline, rng: np.random.Generator) -> tuple[Span, ...]:
    """The chords of a piece: a progression of its genre, a cadence before the last bar, the tonic at the end."""
    harmony = form.genre.harmony[form.mode]
    lines = [[bar.split() for bar in text.split("|")] for text in harmony.progressions]
    whole = [line for line in lines if form.body % len(line) == 0] or lines
    line = one(rng, whole)
    bars = [line[i % len(line)] for i in range(form.body)]
    if form.body > 1 and harmony.cadence:
        bars[-1] = one(rng, harmony.cadence).split()
    return tuple(
        Span(start=start, length=length, chord=chord(numeral, form.tonic, uses_flats(form.tonic, form.mode)))
        for start, length, numeral in _placed(form, [*bars, [harmony.final]])
    )


def _placed(form: Outline, bars: list[list[str]]) -> list[tuple[float, float, str]]:
    """(start, length, numeral) in beats: a bar's chords share it, whole beats each, the first the longest."""
    found = []
    for number, names in enumerate(bars):
        start = float(number * form.metre.beats)
        rest = form.metre.beats // len(names)
        first = form.metre.beats - rest * (len(names) - 1)
        for i, name in enumerate(names):
            length = float(first if i == 0 else rest)
            found.append((start, length, name))
            start += length
    return found
