"""Denoising networks: net(x, t, cond) -> y for x [B, C, *grid], any number of axes."""

from typing import Any

from torch import nn


def build(name: str, sizes: dict[str, Any]) -> nn.Module:
    """A network by name ("dit", "unet") and sizes (the fields of its config). ValueError for an unknown one."""
    from .. import config
    from .dit import DiT, DiTConfig
    from .unet import UNet, UNetConfig

    kinds = {"dit": (DiT, DiTConfig), "unet": (UNet, UNetConfig)}
    if name not in kinds:
        raise ValueError(f"unknown backbone {name!r}; known: {', '.join(kinds)}")
    network, sizes_of = kinds[name]
    return network(config.build(sizes_of, sizes, f"backbone {name}"))
