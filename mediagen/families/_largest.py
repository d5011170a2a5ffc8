"""The largest grid of latents that a published network has positions for, by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from .model import Model


def bounded(model: Model) -> Model:
    """The model, which now knows how large a grid its network sees at most."""
    network = model.denoiser.net.network
    first = network[0] if isinstance(network, nn.ModuleList) else network
    return replace(model, largest=largest(first.config, model.spec.dims))


def largest(config: Mapping[str, Any], dims: int) -> tuple[int | None, ...]:
    """Latents along each axis; None where nothing bounds them. Wan has turns for so many positions of each axis, SD3 a
    table of so many a side, AnimateDiff one of frames; CogVideoX 1.5 cuts its turns from those of one size."""
    told = config.get("patch_size") or 1
    patch = (told,) * dims if isinstance(told, int) else tuple(told)
    if (turns := config.get("rope_max_seq_len")) is not None:
        return tuple(turns * side for side in patch)
    if (table := config.get("pos_embed_max_size")) is not None:
        return tuple(table * side for side in patch)
    if config.get("use_rotary_positional_embeddings") and config.get("patch_size_t") is not None:
        return None, config["sample_height"], config["sample_width"]
    return (config.get("motion_max_seq_length"), *(None,) * (dims - 1))
