"""One sample over several processes: a network's tokens are split among those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from . import _ring

WAYS = ("ulysses", "ring")


def split(networks: Sequence[Any], way: str, attention: str | None = None) -> None:
    """Each process has its share of the tokens, and all end with the whole. Every process must be asked for the same,
    with the same seed. attention: the backend of diffusers that was asked for. ValueError outside of torchrun, for a
    network that diffusers has no plan for, or a ring of GPUs whose attention does not tell its sums."""
    import torch
    import torch.distributed as dist

    if way not in WAYS:
        raise ValueError(f"parallel is {way!r}; it must be one of {', '.join(WAYS)}")
    if "WORLD_SIZE" not in os.environ:
        raise ValueError("parallel needs several processes: torchrun --nproc-per-node=2 script.py")
    from diffusers import ContextParallelConfig

    if way == "ring" and attention in (None, "native"):
        if torch.cuda.is_available():
            raise ValueError(
                "parallel='ring' on GPUs needs attention that tells how large its sums are: attention='_native_cudnn' "
                "or 'flash'; or take parallel='ulysses'"
            )
        _ring.told()

    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    for network in networks:
        if not getattr(network, "_cp_plan", None):
            raise ValueError(f"diffusers does not know how to split {type(network).__name__}: leave out parallel")
        try:
            network.enable_parallelism(config=ContextParallelConfig(**{f"{way}_degree": dist.get_world_size()}))
        except ZeroDivisionError as error:
            raise ValueError("parallel needs as many devices as processes, and there is none") from error
