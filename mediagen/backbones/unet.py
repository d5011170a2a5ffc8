"""A diffusion U-Net for any number of axes (arXiv:2105.05233).

Residual blocks everywhere, attention (to itself and to the text) where the grid is small.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.attention import Attention, apart
from ..nn.blocks import FeedForward
from ..nn.conv import Down, ResBlock, Up, conv
from ..nn.embed import ScalarEmbed, TimeEmbed
from ..nn.norm import ChannelNorm, RMSNorm
from ..nn.rope import positions, rotation


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """dims: axes; channels: of the latent; widths: of each level, each half as fine as the one before; depth: residual
    blocks a level and side; attention: the levels that attend; head: width of a head; text: width of the text states;
    scalars, signals: as the DiT's. clips: of three axes, the first is time: the layers of images see each frame by
    itself, only space gets coarser, and layers over time stand beside them (arXiv:2304.08818), so that the weights of a
    network of images are a start (`nn.inflate`).
    """

    dims: int = 2
    channels: int = 16
    widths: tuple[int, ...] = (128, 256)
    depth: int = 2
    attention: tuple[int, ...] = (1,)
    head: int = 64
    text: int = 384
    scalars: dict[str, int] = field(default_factory=dict)
    signals: dict[str, int] = field(default_factory=dict)
    clips: bool = False

    def __post_init__(self) -> None:
        if self.clips and self.dims != 3:
            raise ValueError(f"clips have 3 axes (dims), not {self.dims}")
        bad = [w for level, w in enumerate(self.widths) if level in self.attention and w % self.head]
        if bad:
            raise ValueError(f"width {bad[0]} of an attending level is not a multiple of head {self.head}")

    @property
    def multiple(self) -> int:
        """What each side of the latent grid must be a multiple of (of clips: of their frames)."""
        return 2 ** (len(self.widths) - 1)

    @property
    def halves(self) -> tuple[int, ...]:
        """What a level divides the axes by."""
        return (1, 2, 2) if self.clips else (2,) * self.dims

    @property
    def kernel(self) -> tuple[int, ...]:
        return (1, 3, 3) if self.clips else (3,) * self.dims


class Attend(nn.Module):
    """Self-attention, cross-attention and feed-forward over the positions of a grid; the identity at first.

    framewise: a position attends to those of its own frame."""

    def __init__(self, width: int, head: int, text: int, framewise: bool = False) -> None:
        super().__init__()
        self.head, self.framewise = head, framewise
        self.norms = nn.ModuleList(RMSNorm(width) for _ in range(3))
        self.attention = Attention(width, width // head)
        self.cross = Attention(width, width // head, text)
        self.feed_forward = FeedForward(width, 2 * width)
        for layer in (self.attention.out, self.cross.out, self.feed_forward.down):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """x [B, C, *grid]; text [B, L, D]; mask bool [B, L]."""
        h = x.flatten(2).transpose(1, 2)
        if self.framewise:
            rope = rotation(positions(x.shape[3:], x.device), self.head)
            h = h + apart(self.attention, self.norms[0](h), rope, (x.shape[2], "space"))
        else:
            rope = rotation(positions(x.shape[2:], x.device), self.head)
            h = h + self.attention(self.norms[0](h), rope=rope)
        h = h + self.cross(self.norms[1](h), text, mask)
        h = h + self.feed_forward(self.norms[2](h))
        return h.transpose(1, 2).reshape(x.shape)


class OverTime(nn.Module):
    """A convolution along time and, where the level attends, attention along time at each place; the identity at
    first."""

    def __init__(self, width: int, head: int, attends: bool) -> None:
        super().__init__()
        self.head = head
        self.norm = ChannelNorm(width)
        self.mix = conv(3, width, width, (3, 1, 1))
        self.attention_norm = RMSNorm(width) if attends else None
        self.attention = Attention(width, width // head) if attends else None
        for layer in (self.mix, *([self.attention.out] if attends else [])):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, H, W]."""
        x = x + self.mix(F.silu(self.norm(x)))
        if self.attention is None:
            return x
        h = self.attention_norm(x.flatten(2).transpose(1, 2))
        rope = rotation(positions(x.shape[2:3], x.device), self.head)
        y = apart(self.attention, h, rope, (x.shape[2], "time"))
        return x + y.transpose(1, 2).reshape(x.shape)


class Stage(nn.Module):
    """One residual block, and attention after it where the level attends; in clips a layer over time at the end."""

    def __init__(self, config: UNetConfig, level: int, embed: int, skipped: int = 0) -> None:
        super().__init__()
        width = config.widths[level]
        self.join = conv(config.dims, width + skipped, width, 1) if skipped else None
        attends = level in config.attention
        self.block = ResBlock(config.dims, width, embed, config.kernel)
        self.attend = Attend(width, config.head, config.text, config.clips) if attends else None
        self.time = OverTime(width, config.head, attends) if config.clips else None

    def forward(self, x: Tensor, embed: Tensor, text: Tensor, mask: Tensor, skip: Tensor | None = None) -> Tensor:
        if self.join is not None:
            x = self.join(torch.cat([x, skip], dim=1))
        x = self.block(x, embed)
        x = x if self.attend is None else self.attend(x, text, mask)
        return x if self.time is None else self.time(x)


class UNet(nn.Module):
    """net(x, t, cond) -> y; the condition is the DiT's. "skip_layers" leaves out stages, counted from the input.

    A time of its own at each place is averaged over each cell at the coarser levels.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, dims, last = config.widths, config.dims, len(config.widths) - 1
        embed = 4 * widths[0]
        halves, kernel = config.halves, config.kernel
        self.time_embed = TimeEmbed(embed)
        self.pooled_embed = nn.Linear(config.text, embed)
        self.scalar_embed = ScalarEmbed(config.scalars, embed)
        self.text_norm = RMSNorm(config.text)
        self.enter_embed = conv(dims, config.channels, widths[0], kernel)
        self.signal_embed = nn.ModuleDict(
            {name: conv(dims, n, widths[0], kernel, bias=False) for name, n in config.signals.items()}
        )
        self.down = nn.ModuleList(Stage(config, i, embed) for i in range(last + 1) for _ in range(config.depth))
        self.shrink = nn.ModuleList(Down(widths[i], widths[i + 1], halves, kernel) for i in range(last))
        self.middle = Stage(config, last, embed)
        self.up = nn.ModuleList(
            Stage(config, i, embed, widths[i]) for i in reversed(range(last + 1)) for _ in range(config.depth)
        )
        self.grow = nn.ModuleList(Up(widths[i + 1], widths[i], halves, kernel) for i in reversed(range(last)))
        self.norm = ChannelNorm(widths[0])
        self.head = conv(dims, widths[0], config.channels, kernel)
        nn.init.zeros_(self.head.bias)
        for layer in (self.head, *self.signal_embed.values()):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
        """x [B, C, *grid] with every side a multiple of 2^(levels - 1); t [B] or [B, 1, *grid]."""
        levels, depth = len(self.config.widths), self.config.depth
        self._check(x)
        h = self.enter_embed(x)
        for name, layer in self.signal_embed.items():
            if name in cond:
                h = h + layer(cond[name].to(h.dtype))
        text = self.text_norm(cond["text"].to(h.dtype))
        context = (text, cond["text_mask"])
        embeds = [self._embed(t, cond, level) for level in range(levels)]
        skips: list[Tensor] = []
        left_out = set(cond.get("skip_layers", ()))
        for number, stage in enumerate(self.down):
            level = number // depth
            if level and number % depth == 0:
                h = self.shrink[level - 1](h)
            h = h if number in left_out else stage(h, embeds[level], *context)
            skips.append(h)
        h = self.middle(h, embeds[-1], *context)
        for number, stage in enumerate(self.up):
            level = levels - 1 - number // depth
            if number and number % depth == 0:
                h = self.grow[number // depth - 1](h)
            h = stage(h, embeds[level], *context, skip=skips.pop())
        return self.head(F.silu(self.norm(h)))

    def _embed(self, t: Tensor, cond: Mapping[str, Any], level: int) -> Tensor:
        """[B, E], or [B, *grid of the level, E] for a time of its own at each place."""
        pooled = self.pooled_embed(cond["text_pooled"].to(self.pooled_embed.weight.dtype))
        pooled = self.scalar_embed(pooled, cond)
        if t.ndim > 1:
            pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[self.config.dims - 1]
            t = pool(t, tuple(n**level for n in self.config.halves))[:, 0]
            pooled = pooled.view(len(t), *(1,) * self.config.dims, -1)
        return F.silu(self.time_embed(t) + pooled)

    def _check(self, x: Tensor) -> None:
        factor, sides = self.config.multiple, x.shape[3 if self.config.clips else 2 :]
        if any(n % factor for n in sides):
            raise ValueError(f"the latent grid {tuple(x.shape[2:])} is not a multiple of {factor} along each axis")
