"""Accuracy of generated clips against what their captions said, as the motion reader sees them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..data.motion.reading import read_motion
from ..data.motion.world import MotionWorld
from .motion_reader import MotionReader, Reading, load, read
from .motion_reader_training import heading
from .score import says
from .score import told as told_of_scene

Truth = dict[str, Any]
SENSES = ("clockwise", "counterclockwise")
COMING = ("appear", "disappear")  # kinds of clips that begin or end without their thing


def world_of(folder: str | Path) -> MotionWorld:
    """The world of a built data set, from its world.json; ValueError if it is missing or broken."""
    file = Path(folder) / "world.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))["motion"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is no description of a built motion world: {error!r}") from error
    return read_motion(content)


def told(truth: Truth, caption: str, world: MotionWorld) -> Truth:
    """What is asked about a clip: things, kind of motion and `heading`, and, if the caption says them, colours,
    background and style (else None). A heading of None is not asked: of pairs, and where the caption leaves it out."""
    asked = told_of_scene(truth, caption, world.spoken)
    if asked["background"] is None and says(caption, world.over.get(truth["background"], ())):
        asked["background"] = truth["background"]
    return asked | {"heading": _heading_told(truth, caption)}


def all_of(truth: Truth) -> Truth:
    """Everything that is true of a clip, to be asked whatever a caption says."""
    return truth | {"heading": heading(truth)}


def _heading_told(truth: Truth, caption: str) -> str | None:
    found = heading(truth)
    if found in SENSES and found not in caption.split():
        return None
    if truth["passes"] and not re.search(r"\b(left|right)\b", caption):
        return None
    return found


def score(
    clips: Sequence[Any] | Tensor, asked: Sequence[Truth], reader: MotionReader | None = None
) -> dict[str, float]:
    """Accuracies of clips (each uint8 [F, H, W, 3], or float [3, F, H, W] in [-1, 1]) against what is asked of them.

    Keys: object, object_single, object_pair, colour, background, style, kind, direction, move (the direction of what
    goes somewhere), identity (the same thing is seen in the first and in the last frame), in 0..1, and `<key>_cases`; a
    key without a case is left out. docs/motion-metrics.md defines each.
    """
    if len(clips) != len(asked):
        raise ValueError(f"{len(clips)} clips and {len(asked)} truths: one of each is needed for a case")
    readings = read(reader or load(), [as_tensor(clip) for clip in clips])
    answers: dict[str, list[bool]] = defaultdict(list)
    for reading, truth in zip(readings, asked, strict=True):
        for key, right in judge(reading, truth):
            answers[key].append(right)
    rates = {key: sum(given) / len(given) for key, given in sorted(answers.items())}
    return rates | {f"{key}_cases": float(len(answers[key])) for key in rates}


def judge(reading: Reading, truth: Truth) -> Iterator[tuple[str, bool]]:
    """(question, whether the answer is right) for all that is asked of one clip."""
    things = truth["objects"]
    labels = {thing["label"] for thing in things}
    right = set(reading.labels[: len(labels)]) == labels
    yield "object", right
    yield "object_single" if len(things) == 1 else "object_pair", right
    for thing in things:
        if thing["color"]:
            yield "colour", _colour_seen(reading, thing["label"], len(things)) == thing["color"]
    yield "kind", reading.kind == truth["kind"]
    if truth["heading"] is not None:
        yield "direction", reading.direction == truth["heading"]
        if truth["kind"] == "move":
            yield "move", reading.direction == truth["heading"]
    if len(things) == 1 and truth["kind"] not in COMING and things[0]["motion"]["way"] not in ("in", "out"):
        yield "identity", reading.first == reading.last
    for key in ("background", "style"):
        if truth[key]:
            yield key, getattr(reading, key) == truth[key]


def _colour_seen(reading: Reading, label: str, things: int) -> str | None:
    """The colour of a label that is seen; in a clip of one thing, the colour of the most evident one."""
    if things == 1:
        return reading.colours[0]
    return reading.colours[reading.labels.index(label)] if label in reading.labels else None


def as_tensor(clip: np.ndarray | Tensor) -> Tensor:
    """uint8 [F, H, W, 3] or float [3, F, H, W] in [-1, 1] -> the latter; ValueError for anything else."""
    if isinstance(clip, Tensor) and clip.ndim == 4 and clip.shape[0] == 3 and clip.is_floating_point():
        return clip.float().cpu()
    pixels = np.asarray(clip)
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"a clip is {pixels.dtype} {pixels.shape}: uint8 [F, H, W, 3] is needed")
    return rearrange(torch.tensor(pixels).float().div_(127.5).sub_(1), "f h w c -> c f h w")
