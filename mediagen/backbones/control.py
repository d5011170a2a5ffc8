"""A control branch (ControlNet, arXiv:2302.05543) of a diffusion transformer, for any number of axes.

As in arXiv:2401.05252 it has copies of the first blocks. They see the noisy tokens and a hint, and what each of them
makes goes, through a layer that is zero at first, into the tokens after the block that it is a copy of. The network
itself stays as it is: with a new branch it makes exactly what it makes without.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..nn.blocks import Block
from ..nn.embed import tokens
from .dit import DiT, DiTConfig

FILE = "control.safetensors"  # in the folder of one that was learned


class Control(nn.Module):
    """branch(net, x, t, cond, hint) -> what is added after each of the first `depth` blocks of `net`, its entry
    "control". channels: of the hint. ValueError unless the network has so many blocks."""

    def __init__(self, sizes: DiTConfig, channels: int, depth: int) -> None:
        super().__init__()
        if not 1 <= depth <= sizes.depth:
            raise ValueError(f"depth must be 1 to the {sizes.depth} blocks of the network, not {depth}")
        self.sizes, width = sizes, sizes.width
        cells = math.prod(sizes.patch)
        self.hint_embed = nn.Sequential(nn.Linear(cells * channels, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            Block(width, sizes.heads, width, sizes.hidden, sizes.modulation) for _ in range(depth)
        )
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for layer in (self.hint_embed[-1], *self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, net: DiT, x: Tensor, t: Tensor, cond: Mapping[str, Any], hint: Tensor) -> tuple[Tensor, ...]:
        """x, t, cond: as `net` gets them; hint [B, channels, *grid], on the grid of x."""
        h, told = net.entered(x, t, cond)
        h, added = h + self.hint_embed(tokens(hint.to(h.dtype), self.sizes.patch)), []
        for number, (block, out) in enumerate(zip(self.blocks, self.out, strict=True)):
            h = told.through(block, number, h)
            added.append(out(h))
        return tuple(added)


def copied(net: DiT, channels: int, depth: int) -> Control:
    """A new branch of `net`: copies of its first blocks, which change nothing yet."""
    branch = Control(net.config, channels, depth)
    for mine, theirs in zip(branch.blocks, net.blocks, strict=False):
        mine.load_state_dict(theirs.state_dict())
    return branch
