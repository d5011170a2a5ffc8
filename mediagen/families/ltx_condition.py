"""LTX-Video 0.9.5 and later, text and image to video: told the seconds and pixels of its positions, the first of which
is one frame; a schedule that is linear at first and then quadratic. Pictures are shown to it as they are, at t = 0.
"""

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from . import _adapters as adapters
from . import ltx
from .model import Model

PIPELINES = ("LTXConditionPipeline",)
OPTIONS: dict[str, Any] = {}
LONGEST = 256  # tokens


def model(pipe: Any, about: adapters.About) -> Model:
    rate = float(inspect.signature(type(pipe).__call__).parameters["frame_rate"].default)
    time, space = pipe.vae_temporal_compression_ratio, pipe.vae_spatial_compression_ratio

    @lru_cache(maxsize=4)
    def places(n: int, grid: tuple[int, ...], device: torch.device) -> Tensor:
        at = pipe._scale_video_ids(pipe._prepare_video_ids(n, *grid, device=device), space, time, 0, device).float()
        at[:, 0] = at[:, 0] / rate
        return at

    def told(x: Tensor) -> Mapping[str, Any]:
        return {"video_coords": places(len(x), tuple(x.shape[2:]), x.device)}

    return ltx.made(pipe, about, LONGEST, told, levels)


def levels(scheduler: Any, steps: int, grid: tuple[int, ...]) -> Mapping[str, Any]:
    from diffusers.pipelines.ltx.pipeline_ltx_condition import linear_quadratic_schedule

    return {"sigmas": linear_quadratic_schedule(steps).tolist()}
