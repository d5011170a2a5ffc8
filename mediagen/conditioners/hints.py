"""What control networks are shown, made of a picture: edges, brightness, and what other models see in it.

A hint is a function, picture [3, H, W] in [-1, 1] -> hint [3, H, W] in [-1, 1]. Those of this file need OpenCV; others,
of `estimated`, a model of transformers, whose place follows the name: "depth:FOLDER".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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


PLAIN = {"canny": canny, "luminance": luminance}
ESTIMATED = ("depth", "segments", "pose")


def find(name: str) -> Hint:
    """A hint by its name, or NAME:FOLDER of those that a model estimates; ValueError for an unknown one."""
    kind, _, path = name.partition(":")
    if name in PLAIN:
        return PLAIN[name]
    if kind in ESTIMATED and path:
        from . import estimated

        return partial(getattr(estimated, kind), path=path)
    if kind in ESTIMATED:
        raise ValueError(f"the hint {kind!r} is what a model of transformers sees: name its folder, as {kind}:FOLDER")
    raise ValueError(f"unknown hint {name!r}; known: {', '.join((*PLAIN, *(f'{kind}:FOLDER' for kind in ESTIMATED)))}")


def each(hint: Hint, media: Tensor) -> Tensor:
    """The hint of every picture [B, 3, H, W], or of every frame of clips [B, 3, F, H, W]; shaped alike."""
    pictures = media.movedim(1, -3)
    made = torch.stack([hint(picture) for picture in pictures.flatten(0, -4)])
    return made.view(pictures.shape).movedim(-3, 1)


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
