"""A diffusion transformer for any number of axes: 1-D audio, 2-D images, 3-D video.

It is arXiv:2212.09748 with the cross-attention and the shared modulation of arXiv:2310.00426.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.attention import Groups
from ..nn.blocks import Block
from ..nn.embed import ScalarEmbed, TimeEmbed, VectorLinear, tokens, untokens
from ..nn.norm import RMSNorm
from ..nn.rope import positions, rotation

Look = tuple[tuple[Tensor, Tensor], Groups | None]


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """channels: of the latent; patch: latent cells per token, one entry an axis; text: width of the text states;
    modulation: rank of the modulation that each block has of its own, 0 for none (one for the whole network); scalars:
    numbers that condition it beside the text, name -> width of the code (`conditioners.scalar.Scalar`); signals:
    what it may be shown on the latent's own grid, name -> channels: "context", another latent (the music to accompany),
    "beats" (`conditioners.beats`); attention: "full", or of clips "factorised": the blocks look in turn at each moment
    and along time at each place (arXiv:2401.03048). It costs less on long clips, and the weights are the same; clips:
    the first of three axes is time, and a clip of one frame is to the network what the picture is to one of images of
    the same sizes: the weights of such a one are a start (`nn.rope.rotation`)."""

    channels: int = 16
    patch: tuple[int, ...] = (2, 2)
    width: int = 320
    depth: int = 10
    heads: int = 5
    hidden: int = 864
    text: int = 384
    modulation: int = 0
    scalars: dict[str, int] = field(default_factory=dict)
    signals: dict[str, int] = field(default_factory=dict)
    attention: str = "full"
    clips: bool = False

    def __post_init__(self) -> None:
        if self.clips and self.dims != 3:
            raise ValueError(f"clips have 3 axes, a side of the patch for each, not {self.dims}")
        if self.attention not in ("full", "factorised") or (self.attention == "factorised" and self.dims < 2):
            raise ValueError(f"attention {self.attention!r} must be 'full' or, of two or more axes, 'factorised'")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} must be an even multiple of heads {self.heads}")

    @property
    def dims(self) -> int:
        """Axes of the latent grid."""
        return len(self.patch)

    @property
    def multiple(self) -> int:
        """What each side of the latent grid must be a multiple of."""
        return max(self.patch)


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """What all blocks are told. looks: what they attend to, in turn; modulation [B, 1 or N, PARTS, width]; text
    [B, L, width], mask bool [B, L]; time [B, 1 or N, width]."""

    looks: list[Look]
    modulation: Tensor
    text: Tensor
    mask: Tensor
    time: Tensor

    def through(self, block: nn.Module, number: int, h: Tensor) -> Tensor:
        """h [B, N, width] after the block that has this number."""
        rope, groups = self.looks[number % len(self.looks)]
        return block(h, self.modulation, rope, self.text, self.mask, self.time, groups)


class DiT(nn.Module):
    """net(x, t, cond) -> y. cond: "text" [B, L, text], "text_mask" bool [B, L], "text_pooled" [B, text], a code of each
    scalar [B, its width] and, optionally, signals [B, their channels, *grid], "skip_layers" (a tuple of numbers of
    blocks left out: the perturbed branch of skip-layer guidance) and "control" (a tuple of what is added after each of
    the first blocks, [B, N, width]: `backbones.control`)."""

    even = True  # a sample's numbers are the same, to the last bit, whatever is in its batch beside it (on a CPU)

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width, cells = config.width, math.prod(config.patch)
        inner = cells * config.channels
        self.patch_embed = nn.Linear(inner, width)
        self.signal_embed = nn.ModuleDict(
            {name: nn.Linear(cells * n, width, bias=False) for name, n in config.signals.items()}
        )
        self.time_embed = TimeEmbed(width)
        self.text_embed = nn.Sequential(RMSNorm(config.text), nn.Linear(config.text, width))
        self.pooled_embed = VectorLinear(config.text, width)
        self.scalar_embed = ScalarEmbed(config.scalars, width)
        self.modulation_embed = VectorLinear(width, Block.PARTS * width)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, width, config.hidden, config.modulation) for _ in range(config.depth)
        )
        self.norm = RMSNorm(width, learned=False)
        self.final_embed = VectorLinear(width, 2 * width)
        self.head = nn.Linear(width, inner)
        for layer in (self.modulation_embed, self.final_embed, self.head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in self.signal_embed.values():
            nn.init.zeros_(layer.weight)  # a network that learned without it begins as it was

    def forward(self, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        """x [B, C, *grid]; t [B], or [B, 1, *grid] for a time at each place (a token takes its patch's first)."""
        c = self.config
        h, told = self.entered(x, t, cond)
        skipped, added = cond.get("skip_layers", ()), cond.get("control", ())
        for number, block in enumerate(self.blocks):
            if number not in skipped:
                h = told.through(block, number, h)
            if number < len(added):
                h = h + added[number]
        scale, shift = self.final_embed(told.time).chunk(2, dim=-1)
        return untokens(self.head(self.norm(h) * (1 + scale) + shift), x.shape[2:], c.patch)

    def entered(self, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> tuple[Tensor, Told]:
        """What comes before the blocks: the tokens [B, N, width], and what the blocks are told."""
        c = self.config
        cells = [n // p for n, p in zip(x.shape[2:], c.patch, strict=True)]
        h = self.patch_embed(tokens(x, c.patch))
        for name, layer in self.signal_embed.items():
            if name in cond:
                h = h + layer(tokens(cond[name].to(h.dtype), c.patch))
        pooled = self.scalar_embed(self.pooled_embed(cond["text_pooled"].to(h.dtype)), cond)
        time = F.silu(self.time_embed(token_times(t, c.patch)) + pooled[:, None])
        return h, Told(
            looks=self._looks(cells, x.device),
            modulation=self.modulation_embed(time).unflatten(-1, (Block.PARTS, c.width)),
            text=self.text_embed(cond["text"].to(h.dtype)),
            mask=cond["text_mask"],
            time=time,
        )

    def _looks(self, cells: list[int], device: torch.device) -> list[Look]:
        """What the blocks attend to, in turn: the rotations of tokens that see each other, and how they are grouped."""
        c = self.config
        rope = rotation(positions(cells, device), c.width // c.heads, clips=c.clips)
        if c.attention == "full":
            return [(rope, None)]
        cos, sin = (each.unflatten(0, (cells[0], -1)) for each in rope)
        return [((cos[0], sin[0]), (cells[0], "space")), ((cos[:, 0], sin[:, 0]), (cells[0], "time"))]


def token_times(t: Tensor, patch: tuple[int, ...]) -> Tensor:
    """t [B] -> [B, 1]; t [B, 1, *grid] -> [B, N]."""
    if t.ndim == 1:
        return t[:, None]
    return tokens(t, patch)[..., 0]
