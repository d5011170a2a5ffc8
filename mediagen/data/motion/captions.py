"""Captions from the truth about a clip: many wordings, long and short, each of which tells the motion and is true."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from ..captions import LIMIT, one_of, thing
from ..world import World
from .world import VECTORS, MotionWorld

Truth = Mapping[str, Any]
TO = {
    "left": ("to the left", "to the left", "left", "from right to left"),
    "right": ("to the right", "to the right", "right", "from left to right"),
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
    "up and to the left": ("up and to the left", "diagonally up to the left"),
    "up and to the right": ("up and to the right", "diagonally up to the right"),
    "down and to the left": ("down and to the left", "diagonally down to the left"),
    "down and to the right": ("down and to the right", "diagonally down to the right"),
}
EDGE = {"left": "to the left", "right": "to the right", "up": "at the top", "down": "at the bottom"}
FROM = {"left": "the right", "right": "the left", "up": "below", "down": "above"}
PACES = {"slow": ("slowly",), "fast": ("quickly", "fast")}
DOUBLED = ("swim", "spin", "hop", "pop", "run", "get", "drop")
OPENINGS = ("a video of", "a clip of", "a short video of")
CAMERA = {
    "pan": (
        "the camera pans {to} past {scene}",
        "{scene}, the camera pans {to}",
        "panning {to} past {scene}",
        "the camera moves {to}, {scene}",
    ),
    "orbit": ("the camera orbits around {scene}", "the camera circles around {scene}", "{scene}, the camera orbits"),
    "zoom in": (
        "the camera zooms in on {scene}",
        "zooming in on {scene}",
        "{scene}, the camera zooms in",
        "the camera moves closer to {scene}",
    ),
    "zoom out": (
        "the camera zooms out from {scene}",
        "zooming out from {scene}",
        "{scene}, the camera zooms out",
        "the camera moves away from {scene}",
    ),
}


@cache
def wording() -> dict[str, tuple[str, ...]]:
    """The phrases of `wording.yaml`."""
    import yaml

    content = yaml.safe_load((resources.files(__package__) / "wording.yaml").read_text(encoding="utf-8"))
    return {kind: tuple(phrases) for kind, phrases in content.items()}


def captions(world: MotionWorld, truth: Truth, rng: np.random.Generator) -> list[str]:
    """A full, a middle and a short caption of one clip, each at most 24 words."""
    return [_caption(world, truth, rng, detail) for detail in (1.0, 0.75, 0.35)]


def _caption(world: MotionWorld, truth: Truth, rng: np.random.Generator, detail: float) -> str:
    where = _where(world, truth, rng, detail)
    if truth["camera"]["kind"] != "still" or (truth["kind"] == "orbit" and rng.random() < 0.3):
        return _filmed(world, truth, rng, detail, where)
    finite, going = _told(world, truth, rng, detail)
    if len(finite.split()) > LIMIT - 4:  # two things of many words each
        finite, going = _told(world, truth, rng, 0.0)
    if len(f"{finite} {where}".split()) > LIMIT - 4:
        where = ""
    text = _formed(world.spoken, truth, rng, (finite, going), where)
    return text if len(text.split()) <= LIMIT else finite


def _told(world: MotionWorld, truth: Truth, rng: np.random.Generator, detail: float) -> tuple[str, str]:
    """What each thing does, with verbs in the third person, and the same with participles."""
    names = _names(world.spoken, truth, rng, detail)
    deeds = [_deed(world, truth, number, names, rng, detail) for number in range(len(names))]
    said = [(names[i], deeds[i]) for i in ([1] if truth["passes"] else range(len(names)))]
    finite = " and ".join(f"{name} {deed}" for name, deed in said)
    return finite, " and ".join(f"{name} {participle(deed)}" for name, deed in said)


def _names(scenes: World, truth: Truth, rng: np.random.Generator, detail: float) -> list[str]:
    """Each thing by name; a colour that is part of its name is not said twice ("a green apple")."""
    said = []
    for told in truth["objects"]:
        label = scenes.by_name[told["label"]]
        named = told["color"] in " ".join(label.names).split()
        seen = {**told, "size": None, "color": None if named else told["color"]}
        said.append(thing(label, seen, rng, detail, sized=False))
    return said


def _formed(scenes: World, truth: Truth, rng: np.random.Generator, said: tuple[str, str], where: str) -> str:
    """The whole sentence, its style named where it must be."""
    finite, going = (f"{part} {where}".strip() for part in said)
    style = scenes.styles[truth["style"]]
    if rng.random() < style.named * (1 if style.named > 0.5 else 0.3):
        prefixed = rng.random() < 0.6
        return f"{one_of(rng, style.prefix)} {going}" if prefixed else f"{finite}, {one_of(rng, style.suffix)}"
    form = rng.random()
    if form < 0.62:
        return finite
    if form < 0.82:
        return going
    if form < 0.9 and where:
        return f"{where}, {said[0]}"
    if form < 0.96:
        return f"{one_of(rng, OPENINGS)} {going}"
    return re.sub(r"^an? ", "", finite)


def _where(world: MotionWorld, truth: Truth, rng: np.random.Generator, detail: float) -> str:
    if rng.random() >= (0.96 if detail > 0.9 else 0.75 if detail > 0.5 else 0.3):
        return ""
    name = truth["background"]
    sideways = any(
        o["motion"]["kind"] == "move" and o["motion"]["direction"] in ("left", "right") for o in truth["objects"]
    )
    if sideways and name in world.over and rng.random() < 0.4:
        return one_of(rng, world.over[name])
    return one_of(rng, next(b.phrases for b in world.spoken.backgrounds if b.name == name))


def _filmed(world: MotionWorld, truth: Truth, rng: np.random.Generator, detail: float, where: str) -> str:
    """What a camera that moves does with a scene that stands still; or that goes round what turns, which is all one."""
    camera = truth["camera"]
    scene = f"{_names(world.spoken, truth, rng, detail)[0]} {where}".strip()
    if camera["kind"] == "pan":
        to = one_of(rng, (f"to the {camera['direction']}", camera["direction"]))
        return one_of(rng, CAMERA["pan"]).format(to=to, scene=scene)
    if truth["kind"] == "orbit":
        return one_of(rng, CAMERA["orbit"]).format(scene=scene)
    return one_of(rng, CAMERA[f"zoom {camera['direction']}"]).format(scene=scene)


def _deed(
    world: MotionWorld, truth: Truth, number: int, names: Sequence[str], rng: np.random.Generator, detail: float
) -> str:
    """What a thing does, with the verb in the third person: "slowly rolls to the left"."""
    told, label = truth["objects"][number]["motion"], truth["objects"][number]["label"]
    phrases = wording()[_phrases(truth, told)]
    if told["kind"] == "still" and world.spoken.by_name[label].floats:
        phrases = tuple(p for p in phrases if "stands" not in p)
    words = {"sense": told["sense"], "verb": one_of(rng, verbs(world, label, told["direction"]))}
    if told["direction"]:
        words["to"] = one_of(rng, TO[told["direction"]])
        words["edge"], words["from"] = EDGE.get(told["direction"]), FROM.get(told["direction"])
    if truth["passes"]:
        words["passes"] = f"{truth['passes']} {names[0]}"
    said = one_of(rng, phrases[:2] if detail < 0.5 else phrases).format(**words)
    return _paced(said, told["pace"], rng, detail)


def _phrases(truth: Truth, told: Truth) -> str:
    """The entry of `wording.yaml` for a motion."""
    if truth["passes"] and told["kind"] == "move":
        return "cross"
    if told["kind"] == "move":
        return told["way"] if told["way"] in ("out", "in") else "arc" if told["path"] == "arc" else "move"
    if told["kind"] == "bounce" and told["direction"]:
        return "bounce along"
    return f"{told['kind']} {told['style']}" if told["style"] else told["kind"]


def _paced(said: str, pace: str | None, rng: np.random.Generator, detail: float) -> str:
    """With "slowly" or "quickly" before or after it, where the motion is slow or fast."""
    if pace is None or rng.random() >= (0.65 if detail > 0.5 else 0.3):
        return said
    word = one_of(rng, PACES[pace])
    return f"{word} {said}" if word != "fast" and rng.random() < 0.5 else f"{said} {word}"


def verbs(world: MotionWorld, label: str, direction: str | None) -> Sequence[str]:
    """The verbs for a thing that goes this way; where its manner has none, those of anything that moves."""
    manner, plain = world.manner(label), world.manners["move"]
    if direction is None:
        return manner.sideways or plain.sideways
    x, y = VECTORS[direction]
    if abs(x) > 0.9:
        return manner.sideways or plain.sideways
    own = manner.up if y < 0 else manner.down
    if x:  # a diagonal is told by verbs that fit both ways
        own = tuple(verb for verb in own if verb in manner.sideways)
    return own or (plain.up if y < 0 else plain.down)


def participle(said: str) -> str:
    """The same with its verbs as participles: "slowly flies" -> "slowly flying", "does not move" -> "not moving"."""
    if said.startswith("does not "):
        verb, *rest = said.removeprefix("does not ").split()
        return " ".join(["not", _ing(verb), *rest])
    words = said.split()
    for at, word in enumerate(words):
        if (at == 0 and not word.endswith("ly")) or (at == 1 and words[0].endswith("ly")) or words[at - 1] == "but":
            words[at] = _ing(_base(word))
    return " ".join(words)


def _base(verb: str) -> str:
    """flies -> fly, passes -> pass, drives -> drive."""
    if verb.endswith("ies"):
        return f"{verb[:-3]}y"
    return verb[:-2] if verb.endswith(("shes", "ches", "sses", "goes", "xes")) else verb[:-1]


def _ing(base: str) -> str:
    if base in DOUBLED:
        return f"{base}{base[-1]}ing"
    if base.endswith("e") and not base.endswith("ee"):
        return f"{base[:-1]}ing"
    return f"{base}ing"
