"""Where the parts of a published checkpoint lie, and where they run, which hooks may make two places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ._loading import Loading

BLOCKS = 1  # that lie on the device at once, of a network that is offloaded in groups


def place(pipe: Any, loading: Loading) -> None:
    """Put a pipeline's parts where they were asked to lie. ValueError if its kind of offloading is not there."""
    if loading.device_map is not None:
        return
    if loading.offload is None:
        pipe.to(loading.place)
        return
    for module in modules(pipe):
        module.offloaded_from = loading.place  # which `runs_on` reads
    if loading.offload == "model":
        pipe.enable_model_cpu_offload(device=loading.place)
        return
    for module in modules(pipe):
        _grouped(module, loading.place, by_block=loading.offload == "group")


def _grouped(module: nn.Module, device: torch.device, by_block: bool) -> None:
    """A network's blocks, or its layers, one after the other. What lists no blocks, and an autoencoder, whose calls are
    no forward pass, goes layer by layer."""
    from diffusers.hooks import apply_group_offloading

    kind: dict[str, Any] = {"offload_type": "leaf_level"}
    if by_block and blocks(module):
        kind = {"offload_type": "block_level", "num_blocks_per_group": BLOCKS}
    apply_group_offloading(module, onload_device=device, **kind)


def blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks that a network lists; none of an autoencoder."""
    lists = [child for child in module.children() if isinstance(child, nn.ModuleList | nn.Sequential)]
    return [] if hasattr(module, "decode") else [block for one in lists for block in one]


def modules(pipe: Any) -> Iterator[nn.Module]:
    """The parts of a pipeline that have weights."""
    return (part for part in pipe.components.values() if isinstance(part, nn.Module))


def runs_on(module: nn.Module) -> torch.device:
    """The device that what a module is given must lie on: that of its hooks, if it has any, else of its weights."""
    if isinstance(module, nn.ModuleList):
        return runs_on(module[0])
    hooked = getattr(module, "offloaded_from", None) or getattr(
        getattr(module, "_hf_hook", None), "execution_device", None
    )
    return next(module.parameters()).device if hooked is None else torch.device(hooked)


def cast(value: Any, dtype: torch.dtype, place: torch.device) -> Any:
    """A tensor on that device, numbers that are not whole in that dtype; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    return value.to(place, dtype) if value.is_floating_point() else value.to(place)
