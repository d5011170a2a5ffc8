"""Captions from the truth about a scene: many wordings, long and short, and true of the picture by construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .world import RELATIONS, Label, World

LIMIT = 24  # words
NUMBERS = {
    2: ("two", "2", "two", "a pair of"),
    3: ("three", "3", "three", "a group of three"),
    4: ("four", "4", "four", "a group of four"),
}
SAID = {
    "left of": ("left of", "to the left of", "on the left of", "on the left side of"),
    "right of": ("right of", "to the right of", "on the right of", "on the right side of"),
    "above": ("above", "over", "higher than", "above"),
    "below": ("below", "under", "beneath", "underneath"),
    "in front of": ("in front of", "partly hiding"),
    "behind": ("behind", "partly hidden behind"),
}
SIZES = {"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}
OPENINGS = ("a picture of", "an image of")


def captions(world: World, truth: dict[str, Any], rng: np.random.Generator) -> list[str]:
    """A full, a middle and a short caption of one scene, each at most 24 words."""
    return [_caption(world, truth, rng, detail) for detail in (1.0, 0.75, 0.35)]


def _caption(world: World, truth: dict[str, Any], rng: np.random.Generator, detail: float) -> str:
    subject = _subject(world, truth, rng, detail)
    background = next(b for b in world.backgrounds if b.name == truth["background"])
    where = one_of(rng, background.phrases) if rng.random() < (0.96 if detail > 0.5 else 0.45) else ""
    if where and rng.random() < 0.05:
        text = f"{where}, {_styled(world, truth, rng, subject)}"
    else:
        text = _styled(world, truth, rng, f"{subject} {where}".strip())
    return next(t for t in (text, f"{subject} {where}", subject) if len(t.split()) <= LIMIT)


def _subject(world: World, truth: dict[str, Any], rng: np.random.Generator, detail: float) -> str:
    things = truth["objects"]
    if truth["relation"]:
        names = [thing(world.by_name[o["label"]], o, rng, detail, sized=False) for o in things]
        return _related(names, truth["relation"]["name"], rng)
    if truth["count"] > 1:
        colour = _colour(things[0], rng, detail)
        many = world.by_name[things[0]["label"]].many
        number = NUMBERS[truth["count"]][rng.integers(2 if many.startswith("pairs") else 4)]
        return " ".join(word for word in (number, colour, many) if word)
    return thing(world.by_name[things[0]["label"]], things[0], rng, detail, sized=True)


def _related(names: Sequence[str], relation: str, rng: np.random.Generator) -> str:
    first, second = names
    form = rng.random()
    if form < 0.55:
        return f"{first} {one_of(rng, SAID[relation])} {second}"
    if form < 0.8:
        return f"{second} {one_of(rng, SAID[RELATIONS[relation]])} {first}"
    sides = {"left of": ("on the left", "on the right"), "above": ("at the top", "at the bottom")}
    turned = relation in ("right of", "below")
    if (straight := RELATIONS[relation] if turned else relation) in sides:
        one, two = sides[straight] if not turned else sides[straight][::-1]
        return f"{first} {one} and {second} {two}"
    return f"{first} {one_of(rng, SAID[relation])} {second}"


def thing(label: Label, truth: dict[str, Any], rng: np.random.Generator, detail: float, sized: bool) -> str:
    name = (
        label.names[0]
        if rng.random() < 0.75 or len(label.names) == 1
        else label.names[1 + rng.integers(len(label.names) - 1)]
    )
    words = [*_size(truth, rng, detail, sized), *_colour(truth, rng, detail).split(), name]
    return " ".join(words) if label.mass and name == label.names[0] else article(" ".join(words))


def _size(truth: dict[str, Any], rng: np.random.Generator, detail: float, sized: bool) -> list[str]:
    share = {"small": 0.8, "big": 0.3}.get(truth["size"], 0)
    return [one_of(rng, SIZES[truth["size"]])] if sized and rng.random() < share * min(1, detail + 0.2) else []


def _colour(truth: dict[str, Any], rng: np.random.Generator, detail: float) -> str:
    """The colour word: nearly always when the colour was changed, now and then when it is the natural one."""
    share = (0.97 if truth["recoloured"] else 0.3) if detail > 0.5 else (0.85 if truth["recoloured"] else 0.1)
    return truth["color"] if truth["color"] and rng.random() < share else ""


def _styled(world: World, truth: dict[str, Any], rng: np.random.Generator, text: str) -> str:
    style = world.styles[truth["style"]]
    if rng.random() < style.named:
        return f"{one_of(rng, style.prefix)} {text}" if rng.random() < 0.6 else f"{text}, {one_of(rng, style.suffix)}"
    form = rng.random()
    if form < 0.08:
        return f"{one_of(rng, OPENINGS)} {text}"
    return text.removeprefix("a ").removeprefix("an ") if form < 0.16 else text


def article(words: str) -> str:
    """With "a" or "an" before it, by sound."""
    vowel = words[0].lower() in "aeiou" and not words.startswith(("unicorn", "ufo", "one", "euro", "uk"))
    vowel = vowel or words.startswith("hour")
    return f"{'an' if vowel else 'a'} {words}"


def one_of(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[rng.integers(len(choices))]
