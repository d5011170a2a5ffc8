"""The range that a published scheduler keeps a clean picture in, step after step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

# those whose step follows the bounded x0 alone, and not also the noise that the network told
BOUNDED = ("DDPMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler")


def bound_of(scheduler: Any) -> Callable[[Tensor], Tensor] | None:
    """x0 -> x0 as its settings have it: dynamic thresholding, or a clamp; None where it is left as it is."""
    config = scheduler.config
    if type(scheduler).__name__ not in BOUNDED:
        return None
    if config.get("thresholding"):
        return partial(thresholded, share=config.dynamic_thresholding_ratio, largest=config.sample_max_value)
    edge = config.get("clip_sample_range", 1.0)
    return partial(torch.clamp, min=-edge, max=edge) if config.get("clip_sample") else None


def thresholded(x0: Tensor, *, share: float, largest: float) -> Tensor:
    """x0 [B, C, *grid] clamped to the value under which `share` of its absolute values lie, 1 to `largest`, and divided
    by it (arXiv 2205.11487, section 2.3)."""
    flat = x0.flatten(1)
    edge = torch.quantile(flat.abs(), share, dim=1, keepdim=True).clamp(1, largest)
    return (flat.clamp(-edge, edge) / edge).view_as(x0)
