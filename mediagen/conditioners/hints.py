"""What control networks are shown, made of a picture: edges, brightness, and what other models see in it.

A hint is a function of this file: picture [3, H, W] in [-1, 1] -> hint [3, H, W] in [-1, 1]. They need OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Hint = Callable[[Tensor], Tensor]

LOW, HIGH = 100, 200  # of Canny's gradients, as control networks were trained with


def canny(picture: Tensor, low: float = LOW, high: float = HIGH) -> Tensor:
    """Edges, white on black (Canny 1986): gradients above `high`, and those above `low` that go on from them."""
    if not 0 <= low <= high:
        raise ValueError(f"canny takes 0 <= low <= high, not {low} and {high}")
    return _grey(_opencv().Canny(_bytes(picture), low, high))


def luminance(picture: Tensor) -> Tensor:
    """Brightness without colour (ITU-R BT.601), which networks for QR codes and shading are shown."""
    cv2 = _opencv()
    return _grey(cv2.cvtColor(_bytes(picture), cv2.COLOR_RGB2GRAY))


def hints() -> dict[str, Hint]:
    """The hints that need nothing but a picture, by name."""
    return {"canny": canny, "luminance": luminance}


def find(name: str) -> Hint:
    """A hint by name; ValueError for an unknown one."""
    if name not in hints():
        raise ValueError(f"unknown hint {name!r}; known: {', '.join(hints())}")
    return hints()[name]


def _bytes(picture: Tensor) -> np.ndarray:
    """[3, H, W] in [-1, 1] -> uint8 [H, W, 3]."""
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise ValueError(f"a picture must be [3, H, W], not {list(picture.shape)}")
    levels = (picture.clamp(-1, 1) + 1) * 127.5
    return np.ascontiguousarray(levels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def _grey(plane: np.ndarray) -> Tensor:
    """uint8 [H, W] -> [3, H, W] in [-1, 1]."""
    return (torch.from_numpy(plane).float() / 127.5 - 1).expand(3, *plane.shape).contiguous()


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ValueError("edges and brightness need OpenCV: pip install 'mediagen[published]'") from error
    return cv2
