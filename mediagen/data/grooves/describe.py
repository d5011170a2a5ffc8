"""The truth about a clip, as it is stored: grid, chords, parts, and words for tempo, density and mood by rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .plan import Part, Piece
from .sounds import Sounds
from .theory import is_minor, key_name

AUDIBLE = -20.0  # LU of a stem against the mix; what is softer is not named
SLOW, FAST = 80, 135  # felt beats a minute: up to SLOW is "slow", from FAST on "fast"
TONAL = ("lead", "chords", "pad")  # roles that show the key and its mode
SPARSE, BUSY = 1.9, 4.8  # different onset times a second: below SPARSE is "sparse", above BUSY "busy"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the mood rules look at. third: "minor" or "major", "" where no lead and no chords show it. energy: of the
    genre, 0..1, a fifth less without drums. onsets: different onset times a second.
    """

    bpm: int
    third: str
    energy: float
    onsets: float
    drums: bool
    bass: bool
    pad: bool
    plucked: bool
    mode: str


MOODS: dict[str, Callable[[Facts], bool]] = {  # in order of force: a caption names the first ones first
    "energetic": lambda f: f.drums and f.bpm >= 110 and f.energy >= 0.7 and f.onsets >= 3,
    "driving": lambda f: f.drums and f.bass and f.bpm >= 120 and f.energy >= 0.75,
    "dark": lambda f: f.third == "minor" and (f.mode == "phrygian" or (f.energy >= 0.65 and f.mode != "dorian")),
    "groovy": lambda f: f.drums and f.bass and 85 <= f.bpm <= 126 and f.energy >= 0.5,
    "happy": lambda f: f.third == "major" and f.bpm >= 100 and f.energy >= 0.35,
    "playful": lambda f: f.third == "major" and f.plucked and f.bpm >= 112 and f.energy >= 0.35,
    "sad": lambda f: f.third == "minor" and f.bpm <= 92 and f.energy <= 0.45,
    "calm": lambda f: f.energy <= 0.4 and f.onsets <= 3.2 and f.bpm <= 115,
    "dreamy": lambda f: f.pad and f.energy <= 0.35,
    "tender": lambda f: f.third == "major" and f.bpm <= 96 and f.energy <= 0.45,
}


def describe(piece: Piece, levels: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The truth about a piece. levels: LUFS by role and of "mix", from its rendering; without them all is audible.

    Times are in seconds. Bars, and the beat of the grid, follow from `tempo`, `metre` and `bars`; chords are
    [start, length, name].
    """
    form = piece.outline
    facts = gather(piece)
    chords = piece.chords if form.ends else [s for s in piece.chords if s.start < form.body * form.metre.beats]
    return {
        "kind": "music",
        "genre": form.genre.name,
        "arrangement": form.arrangement,
        "tempo": form.tempo,
        "pace": "slow" if form.tempo <= SLOW else "fast" if form.tempo >= FAST else None,
        "key": key_name(form.tonic, form.mode),
        "mode": form.mode,
        "tonal": bool(facts.third),
        "metre": form.metre.name,
        "swing": round(form.swing, 3),
        "seconds": round(piece.seconds, 6),
        "beat": round(form.beat, 6),
        "ends": form.ends,
        "bars": [round(bar * form.metre.beats * form.beat, 4) for bar in range(form.heard)],
        "phrase": form.phrase,
        "chords": [[round(s.start * form.beat, 4), round(s.length * form.beat, 4), s.chord.name] for s in chords],
        "fills": [[round(a * form.beat, 4), round(b * form.beat, 4)] for a, b in piece.fills],
        "onsets": round(facts.onsets, 2),
        "density": "sparse" if facts.onsets < SPARSE else "busy" if facts.onsets > BUSY else None,
        "moods": [mood for mood, rule in MOODS.items() if rule(facts)],
        "drums": "drums" in piece.by_role,
        "parts": [_part(piece, part, levels) for part in piece.parts],
    }


def gather(piece: Piece) -> Facts:
    """What the mood rules look at, from the notes of a piece."""
    form = piece.outline
    lead = piece.by_role.get("lead", piece.by_role.get("chords"))
    third = "minor" if is_minor(form.mode) else "major"
    beats = form.heard * form.metre.beats
    starts = {round(note.start * 48) for part in piece.parts for note in part.notes if note.start < beats}
    return Facts(
        bpm=form.tempo,
        third=third if set(TONAL) & set(piece.by_role) else "",
        energy=form.genre.energy if "drums" in piece.by_role else 0.8 * form.genre.energy,
        onsets=len(starts) / (beats * form.beat),
        drums="drums" in piece.by_role,
        bass="bass" in piece.by_role,
        pad="pad" in piece.by_role,
        plucked=bool(lead and getattr(lead.instrument, "decays", False)),
        mode=form.mode,
    )


def _part(piece: Piece, part: Part, levels: Mapping[str, float] | None) -> dict[str, Any]:
    level = None if levels is None else round(levels[part.role] - levels["mix"], 2)
    bar = piece.outline.metre.beats * piece.outline.beat
    return {
        "role": part.role,
        "instrument": part.instrument.name,
        "program": part.instrument.program,
        "level": level,
        "audible": level is None or level >= AUDIBLE,
        "enters": round(part.enters * bar, 4),
    }


def describe_sounds(plan: Sounds) -> dict[str, Any]:
    """The truth about a clip of sound effects."""
    return {"kind": "effect", "effects": list(plan.kinds), "seconds": plan.seconds}
