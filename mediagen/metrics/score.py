"""Accuracy of generated scenes against what their captions said, as the scene reader sees them."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.world import World, read_world
from .reader import Reader, Reading, load, read

Truth = dict[str, Any]


def world_of(folder: str | Path) -> World:
    """The world of a built data set, from its world.json; ValueError if it is missing or broken."""
    file = Path(folder) / "world.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        parts = {key: content[key] for key in ("labels", "backgrounds", "styles", "scenes")}
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{file} is no description of a built scenes world: {error!r}") from error
    return read_world({"name": content.get("world", "unnamed"), **parts})


def told(truth: Truth, caption: str, world: World) -> Truth:
    """The part of the truth that the caption says: background, style and colours that it does not name become None."""
    backgrounds = {b.name: b.phrases for b in world.backgrounds}
    style = world.styles[truth["style"]]
    objects = [{**o, "color": _colour_told(o, caption, world)} for o in truth["objects"]]
    return {
        **truth,
        "objects": objects,
        "background": truth["background"] if says(caption, backgrounds[truth["background"]]) else None,
        "style": truth["style"] if says(caption, (*style.prefix, *style.suffix)) else None,
    }


def _colour_told(thing: Truth, caption: str, world: World) -> str | None:
    label = world.by_name[thing["label"]]
    colour = thing["color"]
    return colour if colour and says(caption, [f"{colour} {n}" for n in (*label.names, label.many)]) else None


def says(caption: str, phrases: Sequence[str]) -> bool:
    return any(f" {phrase} " in f" {caption.replace(',', ' ')} ".replace("  ", " ") for phrase in phrases)


def score(images: np.ndarray | Tensor, truths: Sequence[Truth], reader: Reader | None = None) -> dict[str, float]:
    """Accuracies of pictures (uint8 [N, H, W, 3], or float [N, 3, H, W] in [-1, 1]) against their truths.

    Keys: object, object_single, object_pair, object_count, colour, count, count_many, relation, relation_found,
    background, style in 0..1, and `<key>_cases`; a key without a case is left out.
    What the truth holds as None is not asked. docs/metrics.md defines each.
    """
    x = as_tensor(images)
    if len(x) != len(truths):
        raise ValueError(f"{len(x)} pictures and {len(truths)} truths: one of each is needed for a case")
    reader = reader or load()
    readings = [r for part in x.split(64) for r in read(reader, part)]
    answers: dict[str, list[bool]] = defaultdict(list)
    for reading, truth in zip(readings, truths, strict=True):
        for key, right in judge(reading, truth):
            answers[key].append(right)
    rates = {key: sum(given) / len(given) for key, given in sorted(answers.items())}
    return rates | {f"{key}_cases": float(len(answers[key])) for key in rates}


def judge(reading: Reading, truth: Truth) -> Iterator[tuple[str, bool]]:
    """(question, whether the answer is right) for all that the truth of one scene asks."""
    labels = list(dict.fromkeys(o["label"] for o in truth["objects"]))
    seen = reading.labels[: len(labels)]
    right = set(seen) == set(labels)
    kind = "pair" if len(labels) > 1 else "single" if truth["count"] == 1 else "count"
    yield "object", right
    yield f"object_{kind}", right
    yield "count", reading.count == truth["count"]
    if kind == "count":
        yield "count_many", reading.count == truth["count"]
    for thing in truth["objects"] if kind == "pair" else truth["objects"][:1]:
        if thing["color"]:
            yield "colour", _colour_seen(reading, thing["label"], kind) == thing["color"]
    if relation := truth["relation"]:
        subject, other = (truth["objects"][relation[role]]["label"] for role in ("subject", "object"))
        order = right and reading.relation(subject, other) == relation["name"]
        yield "relation", order
        if right:
            yield "relation_found", order
    for key in ("background", "style"):
        if truth[key]:
            yield key, getattr(reading, key) == truth[key]


def _colour_seen(reading: Reading, label: str, kind: str) -> str | None:
    """The colour of a label that is seen; in a scene of one label, the colour of the most evident thing."""
    if kind != "pair":
        return reading.colours[0]
    return reading.colours[reading.labels.index(label)] if label in reading.labels else None


def as_tensor(images: np.ndarray | Tensor) -> Tensor:
    """uint8 [N, H, W, 3] or float [N, 3, H, W] in [-1, 1] -> the latter; ValueError for anything else."""
    if isinstance(images, Tensor) and images.ndim == 4 and images.shape[1] == 3 and images.is_floating_point():
        return images.float()
    pixels = np.asarray(images)
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pictures are {pixels.dtype} {pixels.shape}: uint8 [N, H, W, 3] is needed")
    return torch.tensor(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
