"""Captions from the truth about a clip: many wordings, long and short, each true by construction.

Every caption leaves something out. An instrument is named only where its part is audible, a key only where a lead
or chords show its mode, and a mood, a pace or a density only by the rules of `describe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .describe import TONAL
from .effects import EFFECTS
from .outline import one
from .world import GroovesWorld

LIMIT = 32  # words
MOOD_WORDS = {
    "energetic": ("energetic", "lively", "high-energy"),
    "driving": ("driving", "intense", "powerful"),
    "dark": ("dark", "brooding", "moody"),
    "groovy": ("groovy", "catchy", "danceable"),
    "happy": ("happy", "cheerful", "upbeat", "bright"),
    "playful": ("playful", "bouncy", "light-hearted"),
    "sad": ("sad", "melancholic", "wistful"),
    "calm": ("calm", "relaxed", "gentle", "peaceful"),
    "dreamy": ("dreamy", "atmospheric", "floating"),
    "tender": ("tender", "warm", "soft"),
}
PACES = {"slow": ("slow", "slow-paced"), "fast": ("fast", "fast-paced", "up-tempo")}
DENSITIES = {"sparse": ("sparse", "minimal"), "busy": ("busy", "dense")}
METRES = {"3/4": ("in 3/4", "in waltz time", "in three"), "6/8": ("in 6/8", "in six-eight time"), "4/4": ("in 4/4",)}
NOUNS = ("track", "piece", "tune")
COUNTED = (*NOUNS, "song", "groove", "beat", "waltz", "combo", "dance", "shuffle", "soundscape")  # nouns as they are
ALONE = ("solo", "drums", "bass", "lead", "chords")
ONLY = {
    "drums": ("{x} only", "only {x}", "just {x}", "isolated {x}", "a drum beat, nothing else", "drum track alone"),
    "bass": ("{x} only", "solo {x}", "isolated {x}", "{x} line, nothing else", "bass only", "just the bass line, {x}"),
    "lead": ("{x} only", "solo {x}", "isolated {x}", "unaccompanied {x}", "{x} melody, nothing else"),
    "chords": ("{x} only", "solo {x} chords", "isolated {x}", "{x} chords, nothing else", "just {x} chords"),
    "pad": ("{x} only", "isolated {x}", "sustained {x}, nothing else", "just sustained {x}"),
}  # fmt: skip


def captions(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator) -> list[str]:
    """A sentence, a list of tags, a middle and a short caption of the whole clip, each at most 32 words."""
    if truth["kind"] == "effect":
        return _unlike([_effect(truth, rng) for _ in range(4)])
    makers = (_sentence, _tags, _middle, _short)
    return _unlike([_cut(make(world, truth, rng)) for make in makers])


def stem_captions(world: GroovesWorld, truth: dict[str, Any], role: str, rng: np.random.Generator) -> list[str]:
    """Captions of one part alone ("drums only", "solo bass, funk, 100 bpm")."""
    if truth["kind"] == "effect":
        return [one(rng, EFFECTS[role].names)]
    return _unlike([_stem(world, truth, role, rng, detail) for detail in (1.0, 0.5, 0.0)])


def _unlike(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _cut(text: str) -> str:
    """At most LIMIT words, cut at a comma."""
    while len(text.split()) > LIMIT and "," in text:
        text = text.rsplit(",", 1)[0]
    return text


def _sentence(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator) -> str:
    """What it is, who plays, and how it goes: "a calm bossa nova piece with flute and nylon guitar, at 120 bpm"."""
    named = rng.random() < 0.6
    text = _what(world, truth, rng, 0.9, NOUNS if named else ())
    text = article(text) if named else text
    if players := _players(world, truth, rng):
        text += _with(truth, rng) + _joined(rng, players)
    text = ", ".join([text, *_asides(world, truth, rng, 0.75)])
    return f"{text[0].upper()}{text[1:]}." if rng.random() < 0.35 else text


def _with(truth: dict[str, Any], rng: np.random.Generator) -> str:
    return ", " if truth["arrangement"] in ALONE else one(rng, (" with ", " with ", " featuring "))


def _tags(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator) -> str:
    """Comma-separated: "slow jazz, piano, double bass, 90 bpm"."""
    tags = [*_players(world, truth, rng), *_asides(world, truth, rng, 0.6)]
    order = rng.permutation(len(tags)) if rng.random() < 0.5 else range(len(tags))
    return ", ".join([_what(world, truth, rng, 0.6), *(_bare(tags[i]) for i in order)])


def _bare(aside: str) -> str:
    return aside.removeprefix("in the key of ").removeprefix("in ").removeprefix("at ")


def _middle(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator) -> str:
    players = _players(world, truth, rng)[: int(rng.integers(1, 3))]
    text = _what(world, truth, rng, 0.6)
    text += _with(truth, rng) + _joined(rng, players) if players else ""
    asides = _asides(world, truth, rng, 0.3)[:1]
    return " ".join([text, *asides]) if asides and asides[0].startswith(("in ", "at ")) else ", ".join([text, *asides])


def _short(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator) -> str:
    players = _players(world, truth, rng)
    if truth["arrangement"] in ALONE:  # to leave that out would say that the others play too
        return one(rng, ("{1}", "{0}, {1}", "{1}, {0}")).format(_genre(world, truth, rng), _joined(rng, players))
    match int(rng.integers(4)):
        case 0:
            return _genre(world, truth, rng)
        case 1 if players:
            return f"{_genre(world, truth, rng)}, {players[0]}"
        case 2:
            return f"{_genre(world, truth, rng)} at {truth['tempo']} bpm"
    return _what(world, truth, rng, 0.5)


def _genre(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator) -> str:
    genre = world.genres[truth["genre"]]
    return genre.name if not genre.aka or rng.random() < 0.6 else one(rng, genre.aka)


def _what(
    world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator, detail: float, nouns: Sequence[str] = ()
) -> str:
    """Moods, pace, density and the genre: "calm slow bossa nova"; with a noun after it where nouns are given."""
    words: list[str] = []
    moods = truth["moods"]
    if moods and rng.random() < 0.75 * detail:
        words.append(one(rng, MOOD_WORDS[moods[int(rng.integers(len(moods)))]]))
    if truth["density"] and rng.random() < 0.3 * detail:
        words.append(one(rng, DENSITIES[truth["density"]]))
    if truth["pace"] and rng.random() < 0.45 * detail:
        words.append(one(rng, PACES[truth["pace"]]))
    words.append(_genre(world, truth, rng))
    if nouns:
        words[-1] = words[-1].removesuffix(" music")
        words += [] if words[-1].endswith(COUNTED) else [one(rng, nouns)]
    return " ".join(words)


def _named(world: GroovesWorld, part: dict[str, Any], rng: np.random.Generator) -> str:
    if part["role"] == "drums":
        return one(rng, world.kits[part["instrument"]].names)
    instrument = world.instruments[part["instrument"]]
    return one(rng, (instrument.name, instrument.name, *instrument.aka))


def _players(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator) -> list[str]:
    """What can be heard, in the words of the arrangement; some parts of a band may be left out."""
    parts = [part for part in truth["parts"] if part["audible"]]
    if truth["arrangement"] in ALONE and parts:
        role = "lead" if truth["arrangement"] == "solo" else parts[0]["role"]
        said = ("solo {x}", "{x} solo", "{x} alone", "unaccompanied {x}") if role == "lead" else ONLY[role]
        return [one(rng, said).format(x=_named(world, parts[0], rng))]
    kept = [part for part in parts if rng.random() < (0.9 if part["role"] == "lead" else 0.72)] or parts[:1]
    names = _unlike([_named(world, part, rng) for part in kept])
    lead = bool(kept) and kept[0]["role"] == "lead" and not names[0].endswith("lead")
    if lead and rng.random() < 0.3:
        names[0] = one(rng, ("{x} melody", "lead {x}", "{x} lead")).format(x=names[0])
    if truth["arrangement"] in ("duo", "rhythm") and len(names) == 2 and rng.random() < 0.5:
        return [
            f"{names[0]} and {names[1]} {one(rng, ('duo', 'only') if truth['arrangement'] == 'duo' else ('only',))}"
        ]
    return names


def _joined(rng: np.random.Generator, names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    last = one(rng, (" and ", " and ", ", "))
    return ", ".join(names[:-1]) + last + names[-1]


def _asides(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator, share: float) -> list[str]:
    """Tempo, key, metre, feel, and what is not there or comes in later; each by chance."""
    found = []
    if rng.random() < share:
        found.append(one(rng, ("{} bpm", "at {} bpm", "{} beats per minute")).format(truth["tempo"]))
    if truth["tonal"] and rng.random() < 0.7 * share:
        found.append(f"{one(rng, ('in ', 'in the key of ', 'in '))}{truth['key']} {truth['mode']}")
    if rng.random() < share * (0.1 if truth["metre"] == "4/4" else 0.7):
        found.append(one(rng, METRES[truth["metre"]]))
    if truth["swing"] >= 0.6 and rng.random() < 0.3 * share:
        found.append(one(rng, ("with a swing feel", "swung")))
    whole = truth["arrangement"] in ("band", "duo", "backing")
    if whole and not truth["drums"] and rng.random() < 0.4 * share:
        found.append(one(rng, ("no drums", "without drums", "drumless")))
    if truth["arrangement"] == "backing" and rng.random() < 0.7 * share:
        found.append(one(rng, ("no lead melody", "backing track", "without a melody")))
    found += [say for say in _later(world, truth, rng) if rng.random() < share]
    return found


def _later(world: GroovesWorld, truth: dict[str, Any], rng: np.random.Generator) -> list[str]:
    """A part that joins late and can be heard: "the drums come in later"."""
    late = [part for part in truth["parts"] if part["enters"] and part["audible"]]
    said = ("the {x} comes in later", "{x} enters after {s} seconds", "{x} joining at {s} seconds")
    plural = ("the drums come in later", "drums enter after {s} seconds", "drums joining at {s} seconds")
    return [
        one(rng, plural if part["role"] == "drums" else said).format(
            x=part["instrument"], s=round(part["enters"])
        )
        for part in late
    ]  # fmt: skip


def _stem(world: GroovesWorld, truth: dict[str, Any], role: str, rng: np.random.Generator, detail: float) -> str:
    part = next(part for part in truth["parts"] if part["role"] == role)
    said = [one(rng, ONLY[role]).format(x=_named(world, part, rng))]
    if rng.random() < detail:
        said.append(_genre(world, truth, rng))
    if rng.random() < detail:
        said.append(f"{truth['tempo']} bpm")
    if role in TONAL and rng.random() < 0.6 * detail:
        said.append(f"{truth['key']} {truth['mode']}")
    return ", ".join(said)


def _effect(truth: dict[str, Any], rng: np.random.Generator) -> str:
    names = [one(rng, EFFECTS[kind].names) for kind in truth["effects"]]
    if rng.random() < 0.3:
        names = names[::-1]
    text = one(rng, (" and ", " with ", ", ")).join(names)
    return one(rng, ("{}", "{}", "sound effect of {}", "the sound of {}", "{}, sound effect")).format(text)


def article(words: str) -> str:
    """Words with their article, by sound; an eight begins with a vowel."""
    return f"{'an' if words[0].lower() in 'aeio' or words.startswith(('8', 'up', 'ultra')) else 'a'} {words}"
