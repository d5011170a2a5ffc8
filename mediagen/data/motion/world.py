"""What the motion world is made of: an image world's things and places, kinds of motion, and the words for them.

`reading` makes one from a YAML file. Which combinations are held out of training follows from a hash of their names
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal
from zlib import crc32

import numpy as np

from ..world import Label, World, load_world

Split = Literal["train", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "heldout")
VECTORS = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
    "up and to the left": (-0.7071, -0.7071),
    "up and to the right": (0.7071, -0.7071),
    "down and to the left": (-0.7071, 0.7071),
    "down and to the right": (0.7071, 0.7071),
}
PLAIN_MANNER = "move"


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How things of a kind go, and the verbs for it; the keys are explained at the top of `manners.yaml`."""

    labels: tuple[str, ...]
    sideways: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    rolls: bool = False
    step: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MotionWorld:
    """A recipe of clips; the keys are explained at the top of `small.yaml` and of `manners.yaml`."""

    name: str
    base: str
    frames: int
    rate: float
    size: int
    heldout: float
    styles: dict[str, float]
    extent: tuple[float, ...]
    kinds: dict[str, float]
    directions: dict[str, float]
    ways: dict[str, float]
    paths: dict[str, float]
    along: float
    animated: float
    slow: float
    fast: float
    scenery: tuple[str, ...]
    manners: dict[str, Manner]
    faces: dict[str, tuple[str, ...]]
    headings: dict[str, float]
    round: tuple[str, ...]
    over: dict[str, tuple[str, ...]]
    labels: tuple[str, ...] = ()
    models: dict[str, str] = field(default_factory=dict)

    @cached_property
    def scenes(self) -> World:
        """The image world of `base`, narrowed to the labels that the clips show."""
        base = load_world(self.base)
        known = base.by_name
        if unknown := [name for name in self.labels if name not in known]:
            raise ValueError(f"labels: {unknown[0]!r} is not in the image world {base.name!r}")
        kept = tuple(label for label in base.labels if (label.name in self.labels if self.labels else not label.mass))
        return replace(base, labels=kept, heldout=self.heldout)

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return (self.frames - 1) / self.rate

    @property
    def clock(self) -> np.ndarray:
        """0 at the first frame, 1 at the last: float64 [frames]."""
        return np.linspace(0, 1, self.frames)

    @cached_property
    def modelled(self) -> tuple[Label, ...]:
        """The labels of the models that are shown from all sides."""
        return tuple(Label(name=name, code=f"model/{file}", flip=False) for name, file in self.models.items())

    @cached_property
    def spoken(self) -> World:
        """The image world with the names of the models, for words."""
        known = self.scenes.by_name
        extra = tuple(label for label in self.modelled if label.name not in known)
        return replace(self.scenes, labels=(*self.scenes.labels, *extra))

    @cached_property
    def backdrops(self) -> dict[str, float]:
        """Weights of the backgrounds."""
        return {b.name: b.weight for b in self.scenes.backgrounds}

    @cached_property
    def _manner_of(self) -> dict[str, str]:
        return {label: name for name, manner in self.manners.items() for label in manner.labels}

    def manner(self, label: str) -> Manner:
        return self.manners[self._manner_of.get(label, PLAIN_MANNER)]

    def faced(self, label: str) -> str | None:
        """Which way a drawing looks as it is drawn: left, right, or None."""
        return next((side for side in ("left", "right") if label in self.faces[side]), None)

    def pace(self, speed: float) -> str | None:
        """slow, fast or None, of a speed in frame sides a second."""
        return "slow" if speed <= self.slow else "fast" if speed >= self.fast else None

    def held_out(self, label: str, other: str) -> bool:
        """Whether label x background, or label x motion (as `Motif.name` calls it), is kept out of training."""
        return self.scenes.held_out(label, other)


def stream(seed: int, split: Split, index: int, purpose: str) -> np.random.Generator:
    """Random numbers of one clip for one purpose, so that a change in one part of a clip moves no other."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it must be 'train' or 'heldout'")
    if index < 0 or seed < 0:
        raise ValueError(f"seed {seed} and index {index} must not be negative")
    return np.random.default_rng([seed, SPLITS.index(split), index, crc32(purpose.encode())])


def pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """A key of the mapping, by weight."""
    total = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(total, rng.random() * total[-1], side="right"))]
