"""The truth about a clip, as it is stored: what is in it and where everything is in every frame, on the screen."""

from __future__ import annotations

from typing import Any

import numpy as np

from .plan import Actor, Plan
from .tracks import Told
from .world import MotionWorld


def describe(plan: Plan, world: MotionWorld) -> dict[str, Any]:
    """Places and sizes in frame units from the top left, angles in degrees counterclockwise, speeds in frame sides (of
    what spins or turns: turns) a second. `wide` and `high` of a thing are its sides as shares of its size. `camera`
    tells the middle of the view and its zoom; `depth` is from the farthest on."""
    camera = plan.outline.camera
    return {
        "kind": plan.outline.kind,
        "background": plan.background,
        "style": plan.style,
        "frames": world.frames,
        "rate": world.rate,
        "objects": [_object(plan, actor, world) for actor in plan.actors],
        "depth": list(plan.depth),
        "passes": ("behind" if plan.outline.behind else "in front of") if plan.outline.layout == "cross" else None,
        "camera": {
            "kind": camera.kind if camera else "still",
            "direction": camera.direction if camera else None,
            "x": _numbers(plan.view.x),
            "y": _numbers(plan.view.y),
            "zoom": _numbers(plan.view.zoom),
        },
    }


def _object(plan: Plan, actor: Actor, world: MotionWorld) -> dict[str, Any]:
    track = plan.screen(actor)
    return {
        "label": actor.label.name,
        "color": actor.sprite.color,
        "recoloured": actor.sprite.changed,
        "sprite": actor.sprite.key,
        "animated": actor.alive,
        "flipped": actor.flipped,
        "wide": round(actor.body.wide / actor.body.extent, 4),
        "high": round(actor.body.high / actor.body.extent, 4),
        "motion": motion(actor.told, world),
        "x": _numbers(track.x),
        "y": _numbers(track.y),
        "size": _numbers(track.size),
        "angle": _numbers(track.angle + actor.tilt),
        "seen": _numbers(track.seen),
    }


def motion(told: Told, world: MotionWorld) -> dict[str, Any]:
    """What is told of a motion, and whether it is slow or fast."""
    speed = None if told.speed is None else round(told.speed, 4)
    pace = None
    if told.kind in ("move", "circle", "bounce") and speed is not None:
        pace = world.pace(speed)
    elif told.kind in ("spin", "orbit") and speed is not None:
        pace = "slow" if speed <= 0.4 else "fast" if speed >= 0.9 else None
    return {
        "kind": told.kind,
        "direction": told.direction,
        "way": told.way,
        "path": told.path,
        "speed": speed,
        "pace": pace,
        "sense": told.sense,
        "style": told.style,
    }


def _numbers(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
