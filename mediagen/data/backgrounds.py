"""Painted backdrops: `PAINTERS[name](rng, size) -> float32 [size, size, 3]` in 0..1, each with small random variation.

They are cheap (a fraction of a millisecond at 128 pixels) and smooth: an object in front must stay the clearest thing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from .colours import to_oklab, to_srgb

Painter = Callable[[np.random.Generator, int], np.ndarray]
Colour = tuple[float, float, float] | np.ndarray

GROUND = frozenset({"meadow", "beach", "snow", "desert", "table", "forest", "night", "city", "mountains", "room"})
PLAIN: dict[str, tuple[int, int, int]] = {
    "white": (250, 250, 250),
    "black": (22, 22, 25),
    "gray": (150, 152, 156),
    "red": (212, 48, 48),
    "orange": (245, 148, 52),
    "yellow": (250, 212, 72),
    "green": (74, 172, 92),
    "blue": (62, 126, 218),
    "purple": (132, 84, 190),
    "pink": (248, 168, 200),
    "brown": (132, 92, 62),
    "turquoise": (72, 200, 196),
    "beige": (236, 222, 196),
}


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """y [size, 1] and x [1, size], pixel centres in 0..1, top left first."""
    line = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return line[:, None], line[None, :]


def _rgb(*values: float) -> np.ndarray:
    return np.array(values, np.float32) / 255


def _mix(first: Colour, second: Colour, amount: np.ndarray) -> np.ndarray:
    """first where amount [H, W] is 0, second where it is 1."""
    return np.asarray(first, np.float32) + amount[..., None] * (
        np.asarray(second, np.float32) - np.asarray(first, np.float32)
    )


def _vertical(size: int, *stops: tuple[float, np.ndarray]) -> np.ndarray:
    """A gradient from the top down through (height, colour) stops."""
    y, _ = _grid(size)
    heights = [height for height, _ in stops]
    columns = [np.interp(y[:, 0], heights, [float(colour[c]) for _, colour in stops]) for c in range(3)]
    return np.repeat(np.stack(columns, -1).astype(np.float32)[:, None], size, axis=1)


def _below(size: int, line: np.ndarray | float, soft: float = 1.0) -> np.ndarray:
    """[H, W] mask of what lies under a line (height as a function of x), its edge `soft` pixels wide."""
    y, x = _grid(size)
    return np.clip((y - line) * size / soft + 0.5, 0, 1) * np.ones_like(x)


def _hill(rng: np.random.Generator, size: int, height: float, swing: float, waves: float = 1.0) -> np.ndarray:
    """[1, W] line of a soft hill around a height."""
    _, x = _grid(size)
    a, b, c = rng.uniform(0, 2 * np.pi, 3)
    wave = (
        np.sin(2 * np.pi * waves * x + a)
        + 0.5 * np.sin(4.3 * np.pi * waves * x + b)
        + 0.25 * np.sin(9.1 * np.pi * waves * x + c)
    )
    return (height + swing * 0.6 * wave).astype(np.float32)


def _blob(size: int, cx: float, cy: float, rx: float, ry: float, soft: float = 0.15) -> np.ndarray:
    """[H, W] mask of an ellipse; soft is the width of its edge as a share of the radius."""
    y, x = _grid(size)
    away = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
    return np.clip((1 - away) / soft + 0.5, 0, 1)


def _cloud(rng: np.random.Generator, size: int, cx: float, cy: float, width: float) -> np.ndarray:
    mask = _blob(size, cx, cy + 0.02, width, width * 0.26, 0.25)
    for offset, high in ((-0.45, 0.34), (0.05, 0.46), (0.5, 0.32)):
        part = _blob(
            size,
            cx + width * (offset + rng.uniform(-0.1, 0.1)),
            cy - width * 0.16,
            width * high,
            width * high * 0.8,
            0.3,
        )
        mask = np.maximum(mask, part)
    return mask


def _stars(rng: np.random.Generator, picture: np.ndarray, count: int, top: float = 1.0) -> None:
    """Adds small bright points to the upper part of a picture, in place."""
    size = len(picture)
    spots = rng.integers(1, [max(2, int(size * top) - 1), size - 1], size=(count, 2))
    glow = rng.uniform(0.45, 1.0, count).astype(np.float32)[:, None]
    rows, columns = spots.T
    picture[rows, columns] += glow * (1 - picture[rows, columns])
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        picture[rows + dy, columns + dx] += 0.35 * glow * (1 - picture[rows + dy, columns + dx])


def _shifted(rng: np.random.Generator, colour: np.ndarray, amount: float = 0.03) -> np.ndarray:
    """The same colour, a little lighter or darker and warmer or colder."""
    lab = to_oklab(np.asarray(colour, float)) + rng.normal(0, 1, 3) * np.array([amount, amount / 4, amount / 4])
    return to_srgb(lab).astype(np.float32)


def plain(rng: np.random.Generator, size: int, *, name: str) -> np.ndarray:
    """One named colour with a faint light from one side."""
    y, x = _grid(size)
    colour = _shifted(rng, _rgb(*PLAIN[name]), 0.008 if name in ("white", "black", "gray") else 0.026)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.05)
    slope = 1 + strength * (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) * 2
    return np.clip(colour * slope[..., None], 0, 1)


def sunset(rng: np.random.Generator, size: int) -> np.ndarray:
    low = rng.uniform(0.72, 0.86)
    picture = _vertical(
        size,
        (0.0, _shifted(rng, _rgb(92, 58, 132))),
        (low * 0.5, _shifted(rng, _rgb(226, 98, 108))),
        (low, _shifted(rng, _rgb(253, 186, 94))),
        (1.0, _rgb(254, 214, 130)),
    )
    sun = _blob(size, rng.uniform(0.2, 0.8), low - 0.02, 0.13, 0.13, 0.1)
    picture = _mix(picture, _rgb(255, 236, 170), 0.9 * sun)
    return _mix(picture, _shifted(rng, _rgb(88, 46, 88), 0.02), _below(size, _hill(rng, size, low, 0.02), 1.5))


def _sky(rng: np.random.Generator, size: int, horizon: float, clouds: int) -> np.ndarray:
    picture = _vertical(size, (0.0, _shifted(rng, _rgb(92, 170, 240), 0.02)), (horizon, _rgb(196, 230, 252)))
    for _ in range(clouds):
        cloud = _cloud(rng, size, rng.uniform(0.05, 0.95), rng.uniform(0.08, horizon * 0.5), rng.uniform(0.12, 0.2))
        picture = _mix(picture, _rgb(255, 255, 255), 0.85 * cloud)
    return picture


def clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    picture = _vertical(size, (0.0, _shifted(rng, _rgb(84, 164, 240), 0.02)), (1.0, _rgb(178, 222, 252)))
    for corner in rng.permutation(4)[: rng.integers(3, 5)]:
        cx, cy = (corner % 2) * 0.64 + rng.uniform(0.06, 0.3), (corner // 2) * 0.62 + rng.uniform(0.12, 0.3)
        picture = _mix(picture, _rgb(255, 255, 255), 0.92 * _cloud(rng, size, cx, cy, rng.uniform(0.17, 0.27)))
    return picture


def meadow(rng: np.random.Generator, size: int) -> np.ndarray:
    horizon = rng.uniform(0.5, 0.64)
    picture = _sky(rng, size, horizon, rng.integers(1, 3))
    far = _below(size, _hill(rng, size, horizon, 0.03), 1.2)
    near = _below(size, _hill(rng, size, horizon + 0.14, 0.03, 0.7), 2.0)
    picture = _mix(picture, _shifted(rng, _rgb(142, 204, 92), 0.02), far)
    return _mix(picture, _shifted(rng, _rgb(104, 180, 72), 0.02), near)


def beach(rng: np.random.Generator, size: int) -> np.ndarray:
    horizon, shore = rng.uniform(0.36, 0.46), rng.uniform(0.6, 0.7)
    picture = _sky(rng, size, horizon, rng.integers(0, 2))
    picture = _mix(picture, _shifted(rng, _rgb(44, 152, 206), 0.02), _below(size, horizon, 1.0))
    line = _hill(rng, size, shore, 0.018)
    picture = _mix(picture, _rgb(236, 250, 252), _below(size, line - 0.022, 1.5))
    return _mix(picture, _shifted(rng, _rgb(242, 216, 160), 0.02), _below(size, line, 1.5))


def night(rng: np.random.Generator, size: int) -> np.ndarray:
    picture = _vertical(
        size, (0.0, _shifted(rng, _rgb(18, 26, 70), 0.015)), (0.8, _shifted(rng, _rgb(50, 74, 138), 0.02))
    )
    _stars(rng, picture, size // 3, 0.7)
    side = rng.choice([0.14, 0.86])
    moon = _blob(size, side, rng.uniform(0.12, 0.18), 0.075, 0.075, 0.15)
    picture = _mix(picture, _rgb(252, 244, 206), moon)
    return _mix(
        picture,
        _shifted(rng, _rgb(24, 42, 52), 0.015),
        _below(size, _hill(rng, size, rng.uniform(0.76, 0.82), 0.03), 1.5),
    )


def snow(rng: np.random.Generator, size: int) -> np.ndarray:
    horizon = rng.uniform(0.5, 0.62)
    picture = _vertical(size, (0.0, _shifted(rng, _rgb(150, 184, 218), 0.02)), (horizon, _rgb(208, 224, 240)))
    picture = _mix(picture, _rgb(222, 234, 246), _below(size, _hill(rng, size, horizon, 0.035), 1.5))
    picture = _mix(picture, _rgb(246, 250, 255), _below(size, _hill(rng, size, horizon + 0.13, 0.03, 0.7), 3.0))
    flakes = rng.uniform(0.02, 0.98, (size // 8, 2)) * size
    rows, columns = flakes.astype(int).T
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        picture[np.minimum(rows + dy, size - 1), np.minimum(columns + dx, size - 1)] = 1.0
    return picture


def desert(rng: np.random.Generator, size: int) -> np.ndarray:
    horizon = rng.uniform(0.48, 0.6)
    picture = _vertical(size, (0.0, _shifted(rng, _rgb(248, 190, 122), 0.02)), (horizon, _rgb(254, 232, 186)))
    picture = _mix(picture, _rgb(255, 246, 206), _blob(size, rng.choice([0.17, 0.83]), 0.17, 0.09, 0.09, 0.15))
    picture = _mix(
        picture, _shifted(rng, _rgb(226, 160, 88), 0.015), _below(size, _hill(rng, size, horizon, 0.05), 1.5)
    )
    return _mix(
        picture,
        _shifted(rng, _rgb(212, 138, 66), 0.015),
        _below(size, _hill(rng, size, horizon + 0.16, 0.04, 0.7), 1.5),
    )


def underwater(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    picture = _vertical(
        size, (0.0, _shifted(rng, _rgb(82, 200, 224), 0.02)), (1.0, _shifted(rng, _rgb(12, 74, 142), 0.02))
    )
    rays = np.sin((x + 0.45 * y) * rng.uniform(14, 20) + rng.uniform(0, 6)) ** 2
    picture += (0.07 * rays * (1 - y))[..., None]
    for _ in range(rng.integers(4, 8)):
        cx, cy, r = rng.uniform(0.03, 0.97), rng.uniform(0.05, 0.85), rng.uniform(0.014, 0.034)
        ring = _blob(size, cx, cy, r, r, 0.5) - 0.6 * _blob(size, cx, cy, r * 0.7, r * 0.7, 0.5)
        picture = _mix(picture, _rgb(210, 244, 252), 0.75 * ring)
    return np.clip(_mix(picture, _rgb(206, 190, 140), 0.75 * _below(size, _hill(rng, size, 0.93, 0.02), 3.0)), 0, 1)


def table(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    edge = rng.uniform(0.46, 0.56)
    wall = _vertical(size, (0.0, _shifted(rng, _rgb(238, 228, 212), 0.02)), (edge, _rgb(222, 206, 184)))
    depth = np.clip((y - edge) / (1 - edge), 0.001, 1)
    grain = 0.04 * np.sin(90 * depth**0.7 + 3 * np.sin(5 * x + rng.uniform(0, 6)) + rng.uniform(0, 6))
    wood = _shifted(rng, _rgb(176, 116, 66), 0.02) * (1 + grain[..., None] + 0.12 * (depth - 0.5)[..., None])
    boards = 1 - 0.22 * np.clip(1.2 - np.abs(((depth * 3) % 1) - 0.5) * size / 10, 0, 1) * (depth > 0.01)
    return np.clip(_mix(wall, 0, _below(size, edge)) + wood * (boards * _below(size, edge))[..., None], 0, 1)


def space(rng: np.random.Generator, size: int) -> np.ndarray:
    picture = np.broadcast_to(_shifted(rng, _rgb(14, 10, 30), 0.01), (size, size, 3)).copy()
    for colour in (_rgb(86, 40, 130), _rgb(36, 60, 140), _rgb(130, 40, 100)):
        glow = _blob(size, rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.4), 1.6)
        picture = _mix(picture, colour, 0.42 * glow)
    _stars(rng, picture, size // 2)
    corner, r = rng.integers(4), rng.uniform(0.07, 0.1)
    cx, cy = (corner % 2) * 0.78 + 0.11, (corner // 2) * 0.78 + 0.11
    planet = _mix(_rgb(222, 150, 96), _rgb(126, 72, 90), _blob(size, cx + r * 0.7, cy + r * 0.6, r * 1.2, r * 1.2, 0.8))
    return _mix(picture, 0, _blob(size, cx, cy, r, r, 0.1)) + planet * _blob(size, cx, cy, r, r, 0.1)[..., None]


def forest(rng: np.random.Generator, size: int) -> np.ndarray:
    _, x = _grid(size)
    picture = _vertical(size, (0.0, _shifted(rng, _rgb(126, 178, 128), 0.02)), (0.7, _rgb(204, 226, 176)))
    for row, (colour, width) in enumerate(((_rgb(104, 146, 102), 0.03), (_rgb(84, 70, 54), 0.045))):
        places = (np.arange(5) + rng.uniform(0.15, 0.85, 5)) / 5
        away = np.abs(x - places[:, None]).min(0, keepdims=True)
        picture = _mix(
            picture,
            _shifted(rng, colour, 0.012),
            np.clip((width / 2 - away) * size + 0.5, 0, 1) * np.ones((size, 1), np.float32),
        )
        leaves = 1 - _below(size, _hill(rng, size, 0.2 - 0.08 * row, 0.03, 2.5), 2.0)
        picture = _mix(picture, _shifted(rng, _rgb(58 - 14 * row, 112 - 22 * row, 60 - 10 * row), 0.012), leaves)
    return _mix(
        picture,
        _shifted(rng, _rgb(72, 112, 56), 0.015),
        _below(size, _hill(rng, size, rng.uniform(0.7, 0.76), 0.02), 2.0),
    )


def mountains(rng: np.random.Generator, size: int) -> np.ndarray:
    _, x = _grid(size)
    picture = _vertical(size, (0.0, _shifted(rng, _rgb(118, 184, 236), 0.02)), (0.7, _rgb(226, 238, 246)))
    for base, high, count, colour in ((0.62, 0.34, 2, _rgb(132, 148, 178)), (0.7, 0.26, 3, _rgb(96, 112, 142))):
        peaks = (np.arange(count) + rng.uniform(0.25, 0.75, count)) / count
        line = (base - np.max(high - 1.1 * np.abs(x - peaks[:, None]), axis=0, keepdims=True)).astype(np.float32)
        line = np.minimum(line, base)
        snowy = _below(size, line, 1.2) * (1 - _below(size, base - high * 0.66 + 0.012 * np.sin(60 * x), 2.0))
        picture = _mix(picture, _shifted(rng, colour, 0.012), _below(size, line, 1.2))
        picture = _mix(picture, _rgb(248, 250, 254), snowy)
    return _mix(picture, _shifted(rng, _rgb(110, 162, 96), 0.015), _below(size, _hill(rng, size, 0.72, 0.02), 2.0))


def city(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    picture = _vertical(size, (0.0, _shifted(rng, _rgb(136, 190, 236), 0.02)), (0.75, _rgb(232, 238, 240)))
    for row, tone in ((0, _rgb(164, 178, 200)), (1, _rgb(108, 122, 152))):
        count = 9 - 2 * row
        tops = rng.uniform(0.22 + 0.14 * row, 0.52 + 0.08 * row, count).astype(np.float32)
        place = np.clip((x[0] * count + rng.uniform(0, 0.3)).astype(int), 0, count - 1)
        house = _below(size, tops[place][None], 1.0)
        window = ((x * count * 4) % 1 > 0.5) & ((y * 22) % 1 > 0.55) & (row == 1)
        picture = _mix(picture, _shifted(rng, tone, 0.01), house)
        picture = _mix(picture, _rgb(250, 232, 160), 0.55 * house * window)
    return _mix(picture, _shifted(rng, _rgb(112, 114, 120), 0.012), _below(size, 0.78, 1.0))


def room(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    floor = rng.uniform(0.66, 0.74)
    wall = _shifted(rng, _rgb(188, 212, 204), 0.03)
    picture = _vertical(size, (0.0, wall * 0.96), (floor, wall))
    left, top = rng.uniform(0.08, 0.62), 0.1
    inside = (np.abs(x - left - 0.14) < 0.14) & (np.abs(y - top - 0.16) < 0.16)
    bars = (
        (np.abs(x - left - 0.14) < 0.008)
        | (np.abs(y - top - 0.16) < 0.008)
        | ~((np.abs(x - left - 0.14) < 0.125) & (np.abs(y - top - 0.16) < 0.145))
    )
    picture = _mix(picture, _rgb(168, 216, 246), inside.astype(np.float32))
    picture = _mix(picture, _rgb(250, 248, 242), (inside & bars).astype(np.float32))
    picture = _mix(picture, _shifted(rng, _rgb(196, 156, 116), 0.015), _below(size, floor, 1.0))
    return _mix(picture, _rgb(248, 244, 236), _below(size, floor - 0.03, 1.0) * (1 - _below(size, floor, 1.0)))


PAINTERS: dict[str, Painter] = {
    **{name: partial(plain, name=name) for name in PLAIN},
    "sunset": sunset,
    "clouds": clouds,
    "meadow": meadow,
    "beach": beach,
    "night": night,
    "snow": snow,
    "desert": desert,
    "underwater": underwater,
    "table": table,
    "space": space,
    "forest": forest,
    "mountains": mountains,
    "city": city,
    "room": room,
}


def paint(name: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """A backdrop as uint8 [size, size, 3]."""
    if name not in PAINTERS:
        raise ValueError(f"unknown background {name!r}; known are {', '.join(PAINTERS)}")
    return np.round(np.clip(PAINTERS[name](rng, size), 0, 1) * 255).astype(np.uint8)
