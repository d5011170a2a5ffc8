"""One sample over several processes: a network's tokens are split among those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

WAYS = ("ulysses", "ring")


def split(networks: Sequence[Any], way: str) -> None:
    """Each process has its share of the tokens, and all end with the whole. Every process must be asked for the same,
    with the same seed. ValueError outside of torchrun, or for a network that diffusers has no plan for."""
    import torch
    import torch.distributed as dist

    if way not in WAYS:
        raise ValueError(f"parallel is {way!r}; it must be one of {', '.join(WAYS)}")
    if "WORLD_SIZE" not in os.environ:
        raise ValueError("parallel needs several processes: torchrun --nproc-per-node=2 script.py")
    from diffusers import ContextParallelConfig

    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    for network in networks:
        if not getattr(network, "_cp_plan", None):
            raise ValueError(f"diffusers does not know how to split {type(network).__name__}: leave out parallel")
        try:
            network.enable_parallelism(config=ContextParallelConfig(**{f"{way}_degree": dist.get_world_size()}))
        except ZeroDivisionError as error:
            raise ValueError("parallel needs as many devices as processes, and there is none") from error
