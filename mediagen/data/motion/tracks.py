"""Where a thing is, how large, how turned and how visible, frame by frame: one function for each way to move.

All places are in frame units (0..1, the top left is 0, 0) before the camera; `u` is 0 at the first frame and 1 at the
last. Angles are in degrees, counterclockwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .world import VECTORS, MotionWorld

MARGIN = 0.025  # of the frame, that stays free around what keeps inside
SHORTEST = 0.2  # way of a thing that goes somewhere, in frame sides
GONE = 0.02  # beyond the edge: that much farther than it must


@dataclass(frozen=True, kw_only=True)
class Body:
    """A thing before it moves. extent: its longer side; wide, high: its sides; floor: height of the ground that it
    stands on, or None. All in frame units."""

    extent: float
    wide: float
    high: float
    floor: float | None = None

    def scaled(self, extent: float) -> Body:
        by = extent / self.extent
        return replace(self, extent=extent, wide=self.wide * by, high=self.high * by)

    @property
    def room(self) -> tuple[float, float]:
        """How far the centre may be from the middle of the frame, sideways and up or down."""
        return max(0.0, 0.5 - MARGIN - self.wide / 2), max(0.0, 0.5 - MARGIN - self.high / 2)


@dataclass(frozen=True, kw_only=True)
class Track:
    """Centre x and y, longer side `size`, angle and visible share of a thing in each frame: float64 [F] each."""

    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    angle: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Told:
    """What can be said of a motion. direction: of VECTORS. way: inside, across, out, in. path: straight or arc. speed:
    frame sides a second (for spinning: turns a second). sense: clockwise or counterclockwise. style: fade or pop."""

    kind: str
    direction: str | None = None
    way: str | None = None
    path: str | None = None
    speed: float | None = None
    sense: str | None = None
    style: str | None = None


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A body's track and what it is."""

    told: Told
    track: Track


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a motion function is given. told: kind, direction, way and path are settled; rolls, step: of its manner;
    home: x and y of the place where it rests, None where the function may choose."""

    world: MotionWorld
    rng: np.random.Generator
    body: Body
    told: Told
    rolls: bool = False
    step: float = 0.0
    home: tuple[float | None, float | None] = (None, None)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def sign(self) -> float:
        return float(self.rng.choice([-1.0, 1.0]))


def rest(asked: Asked, body: Body, spread: float = 0.1) -> tuple[float, float]:
    """Its home, its floor, or a place near the middle."""
    x, y = (0.5 + asked.between(-1, 1) * min(spread, room) for room in body.room)
    at_x, at_y = asked.home
    if body.floor is not None:
        at_y = body.floor - body.high / 2
    return x if at_x is None else at_x, y if at_y is None else at_y


def track(asked: Asked, **changed: np.ndarray | float) -> Track:
    """A track with these fields, the others at rest: upright, seen, of the body's size."""
    at = {"angle": 0.0, "seen": 1.0, "size": asked.body.extent} | changed
    return Track(**{k: np.broadcast_to(np.asarray(v, float), (asked.world.frames,)).copy() for k, v in at.items()})


def still(asked: Asked) -> Moved:
    x, y = rest(asked, asked.body)
    return Moved(told=asked.told, track=track(asked, x=x, y=y))


def move(asked: Asked) -> Moved:
    vector = np.array(VECTORS[asked.told.direction or "right"])
    if asked.told.way == "in":
        end, travel = _out(asked, -vector)
        start = end - travel * vector
    else:
        start, travel = (_out if asked.told.way == "out" else _inside)(asked, vector)
    return _going(asked, start + np.outer(travel * asked.world.clock, vector), vector, travel)


def _inside(asked: Asked, vector: np.ndarray) -> tuple[np.ndarray, float]:
    """Start and length of a way that keeps inside the frame."""
    room = np.array(asked.body.room)
    along = np.abs(vector) > 0
    longest = float((2 * room[along] / np.abs(vector[along])).min())
    shortest = 0.95 * longest if asked.told.way == "across" else min(SHORTEST, longest)
    travel = float(np.exp(asked.between(np.log(shortest), np.log(longest))))
    middle = np.array(rest(asked, asked.body, 0.14))
    slack = np.maximum(room - travel * np.abs(vector) / 2, 0)
    middle = np.where(along, 0.5 + asked.between(-1, 1) * slack, middle)
    return middle - vector * travel / 2, travel


def _out(asked: Asked, vector: np.ndarray) -> tuple[np.ndarray, float]:
    """Start near the middle and length of a way that ends just beyond the edge."""
    start = np.array(rest(asked, asked.body, 0.08))
    half = float(np.abs(vector) @ np.array([asked.body.wide, asked.body.high])) / 2
    edge = float(vector @ (np.where(vector > 0, 1.0, 0.0) - start))
    return start, edge + half + GONE


def _going(asked: Asked, place: np.ndarray, vector: np.ndarray, travel: float) -> Moved:
    """A track along places [F, 2], with hops, an arc or rolling as the thing and the path ask for it."""
    u, told = asked.world.clock, asked.told
    y, angle = place[:, 1], np.zeros(len(u))
    sideways = abs(vector[0]) > 0.9
    if told.path == "arc" and sideways:
        headroom = float(y[0] - asked.body.high / 2 - MARGIN)
        y = y - min(0.3, headroom) * 4 * u * (1 - u)
    elif asked.step and sideways:
        y = y - asked.step * np.abs(np.sin(np.pi * round(2 * asked.world.seconds) * u))
    if asked.rolls and sideways:
        angle = -np.degrees((place[:, 0] - place[0, 0]) / (asked.body.high / 2))
    told = replace(told, speed=travel / asked.world.seconds)
    return Moved(told=told, track=track(asked, x=place[:, 0], y=y, angle=angle))


def circle(asked: Asked) -> Moved:
    u, sense = asked.world.clock, asked.sign()
    radius = min(*asked.body.room, asked.between(0.15, 0.21))
    turns = asked.between(0.9, 1.4) * asked.world.seconds / 2
    phase = asked.between(0, 2 * np.pi) + sense * 2 * np.pi * turns * u  # clockwise on the screen where sense is 1
    told = replace(asked.told, sense=_sense(-sense), speed=2 * np.pi * radius * turns / asked.world.seconds)
    return Moved(told=told, track=track(asked, x=0.5 + radius * np.cos(phase), y=0.5 + radius * np.sin(phase)))


def bounce(asked: Asked) -> Moved:
    body, u, told = asked.body, asked.world.clock, asked.told
    floor = body.floor if body.floor is not None else 0.5 + body.room[1]
    ground = floor - body.high / 2 if body.floor is not None else floor
    height = min(ground - body.high / 2 - MARGIN, asked.between(0.2, 0.34))
    hops = int(asked.rng.choice([2, 4])) * max(1, round(asked.world.seconds / 2))
    part = (hops * u) % 1
    x: np.ndarray | float = rest(asked, body, 0.12)[0]
    if told.direction:
        start, travel = _inside(asked, np.array(VECTORS[told.direction]))
        x = start[0] + VECTORS[told.direction][0] * travel * u
        told = replace(told, speed=travel / asked.world.seconds)
    return Moved(told=told, track=track(asked, x=x, y=ground - height * 4 * part * (1 - part)))


def spin(asked: Asked) -> Moved:
    sense = asked.sign()
    turns = float(asked.rng.choice([0.75, 1.0, 1.5, 2.0])) * asked.world.seconds / 2
    x, y = rest(asked, asked.body, 0.06)
    told = replace(asked.told, sense=_sense(sense), speed=turns / asked.world.seconds)
    return Moved(told=told, track=track(asked, x=x, y=y, angle=sense * 360 * turns * asked.world.clock))


def _sense(sign: float) -> str:
    return "counterclockwise" if sign > 0 else "clockwise"


def grow(asked: Asked) -> Moved:
    return _sized(asked, asked.world.clock)


def shrink(asked: Asked) -> Moved:
    return _sized(asked, 1 - asked.world.clock)


def _sized(asked: Asked, share: np.ndarray) -> Moved:
    """From small where the share is 0 to large where it is 1, by equal ratios; on the floor, where there is one."""
    large = asked.between(0.64, 0.8)
    size = large * asked.between(1.7, 2.4) ** (share - 1)
    x, y = rest(asked, asked.body.scaled(large), 0.06)
    return Moved(told=asked.told, track=track(asked, x=x, y=_standing(asked, y, size), size=size))


def _standing(asked: Asked, y: float, size: np.ndarray) -> np.ndarray | float:
    """The height of the centre of a thing of changing size that keeps its place or its floor."""
    body = asked.body
    return y if body.floor is None else body.floor - body.high / body.extent * size / 2


def shake(asked: Asked) -> Moved:
    x, y = rest(asked, asked.body)
    swing = asked.between(0.03, 0.045) * np.sin(2 * np.pi * 2 * asked.world.seconds * asked.world.clock)
    return Moved(told=asked.told, track=track(asked, x=x + swing, y=y))


def sway(asked: Asked) -> Moved:
    x, y = rest(asked, asked.body)
    swing = asked.sign() * asked.between(13, 20) * np.sin(2 * np.pi * asked.world.seconds * asked.world.clock)
    return Moved(told=asked.told, track=track(asked, x=x, y=y, angle=swing))


def appear(asked: Asked) -> Moved:
    return _coming(asked, asked.world.clock)


def disappear(asked: Asked) -> Moved:
    return _coming(asked, 1 - asked.world.clock)


def _coming(asked: Asked, u: np.ndarray) -> Moved:
    """Absent where `u` begins, whole where it ends: faded in, or grown within three frames past its size and back."""
    style = "fade" if asked.rng.random() < 0.6 else "pop"
    first = asked.between(0.15, 0.35)
    body = asked.body
    x, y = rest(asked, body)
    told = replace(asked.told, style=style)
    if style == "fade":
        seen = np.clip((u - first) / asked.between(0.25, 0.45), 0, 1)
        return Moved(told=told, track=track(asked, x=x, y=y, seen=seen))
    frame = 1 / (asked.world.frames - 1)
    size = body.extent * np.interp(u - first, [0, 2 * frame, 3 * frame, 4.5 * frame], [0.15, 0.8, 1.08, 1.0])
    seen = (u >= first).astype(float)
    return Moved(told=told, track=track(asked, x=x, y=_standing(asked, y, size), size=size, seen=seen))


MOVES: dict[str, Callable[[Asked], Moved]] = {
    "still": still,
    "move": move,
    "circle": circle,
    "bounce": bounce,
    "spin": spin,
    "grow": grow,
    "shrink": shrink,
    "shake": shake,
    "sway": sway,
    "appear": appear,
    "disappear": disappear,
}
