"""A person's joints -> the picture of a skeleton, in the colours that networks of poses know (those of OpenPose)."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# OpenPose's 18 joints by COCO's 17: nose, neck (None: the middle of the shoulders), right arm, left arm, right leg,
# left leg, eyes and ears, right before left
JOINTS = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
SHOULDERS = (5, 6)
LIMBS = ((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13))
LIMBS += ((1, 0), (0, 14), (14, 16), (0, 15), (15, 17))
THICK, DIM = 4, 0.6  # half the width of a limb and a joint's radius, of pictures of 512 pixels; how bright a limb is


def drawn(places: np.ndarray, sure: np.ndarray, size: Sequence[int]) -> Tensor:
    """places: (across, down) of COCO's joints [17, 2] in pixels; sure: those to be drawn [17]; size: (H, W). Returns
    [3, H, W] in [-1, 1], on black."""
    import cv2

    canvas = np.zeros((*size, 3), np.uint8)
    points, there = _joints(places, sure)
    thick = max(round(THICK * max(size) / 512), 1)
    for number, (begin, end) in enumerate(LIMBS):
        if there[begin] and there[end]:
            one, two = points[begin], points[end]
            middle, angle = (one + two) / 2, np.degrees(np.arctan2(*(two - one)[::-1]))
            axes = (max(int(np.linalg.norm(two - one) / 2), 1), thick)
            outline = cv2.ellipse2Poly(tuple(map(int, middle)), axes, int(angle), 0, 360, 1)
            cv2.fillConvexPoly(canvas, outline, colour(number))
    canvas = (canvas * DIM).astype(np.uint8)
    for number, point in enumerate(points):
        if there[number]:
            cv2.circle(canvas, tuple(map(int, point)), thick, colour(number), -1)
    return torch.from_numpy(canvas).permute(2, 0, 1).float() / 127.5 - 1


def colour(number: int) -> tuple[int, ...]:
    """That of a limb, or of the joint of the same number: once round the circle of colours in 18 steps."""
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(number / len(JOINTS), 1, 1))


def _joints(places: np.ndarray, sure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """OpenPose's joints [18, 2], and which of them are there."""
    neck, necked = places[list(SHOULDERS)].mean(0), sure[list(SHOULDERS)].all()
    points = np.stack([neck if joint is None else places[joint] for joint in JOINTS])
    return points, np.array([necked if joint is None else sure[joint] for joint in JOINTS])
