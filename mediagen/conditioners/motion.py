"""How much moves in a clip, as one number: the scalar `motion` that a model is trained with and asked for."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

TYPICAL = 0.02  # mean difference of successive frames of which the strength is 63 %


def strength(frames: np.ndarray | Sequence[np.ndarray]) -> float:
    """uint8 [F, H, W, 3] -> 1 - exp(-d / 0.02), where d is the mean absolute difference of successive frames (black to
    white is 1): 0 for what does not move and for a single frame, and below 1 for anything."""
    pairs = pairwise(frames)
    differences = [float(np.abs(then.astype(np.int16) - now).mean()) / 255 for now, then in pairs]
    return 1 - math.exp(-sum(differences) / max(len(differences), 1) / TYPICAL)
