"""What the camera sees: the middle of the view and its zoom in each frame, and where things are then on the screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tracks import Track
from .world import MotionWorld

REACH = 0.2  # how far the painted backdrop goes beyond each edge of the frame, for a camera that pans


@dataclass(frozen=True, kw_only=True)
class View:
    """Middle x and y of what the camera sees, in frame units, and its zoom (1: the whole frame): float64 [F] each.

    reach: how far the backdrop must go beyond the frame."""

    x: np.ndarray
    y: np.ndarray
    zoom: np.ndarray
    reach: float = 0.0


def resting(world: MotionWorld) -> View:
    """A camera that does not move."""
    middle, one = np.full(world.frames, 0.5), np.ones(world.frames)
    return View(x=middle, y=middle, zoom=one)


def panning(world: MotionWorld, rng: np.random.Generator, direction: str) -> View:
    """A camera that moves to the left or to the right: what it sees goes the other way."""
    half = float(rng.uniform(0.13, REACH)) * (1 if direction == "right" else -1)
    return View(
        x=0.5 + half * (2 * world.clock - 1), y=np.full(world.frames, 0.5), zoom=np.ones(world.frames), reach=REACH
    )


def zooming(world: MotionWorld, rng: np.random.Generator, direction: str, centre: tuple[float, float]) -> View:
    """A camera that comes nearer ("in") or goes away ("out"); the centre keeps its place on the screen."""
    share = world.clock if direction == "in" else 1 - world.clock
    zoom = float(rng.uniform(1.6, 2.0)) ** share
    x, y = (place - (place - 0.5) / zoom for place in centre)
    return View(x=x, y=y, zoom=zoom)


def on_screen(view: View, track: Track) -> Track:
    """A track as the camera shows it."""
    return Track(
        x=(track.x - view.x) * view.zoom + 0.5,
        y=(track.y - view.y) * view.zoom + 0.5,
        size=track.size * view.zoom,
        angle=track.angle,
        seen=track.seen,
    )
