"""Convolutions for one, two or three dimensions from one definition, over causal time too."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .norm import ChannelNorm

AXES = "ijk"
Kernel = int | Sequence[int]


def conv(
    dims: int, channels_in: int, channels_out: int, kernel: Kernel = 3, *, causal: bool = False, bias: bool = True
) -> nn.Module:
    """A convolution over `dims` axes that keeps the grid ([B, C, *grid] in and out); dims is 1, 2 or 3, kernel odd, the
    same along all axes or one entry for each.

    causal: the first axis is time, and no output feels what comes after it (`earlier` says what comes before).
    """
    if dims not in (1, 2, 3):
        raise ValueError(f"dims is {dims}: a convolution has 1, 2 or 3 axes")
    sizes = (kernel,) * dims if isinstance(kernel, int) else tuple(kernel)
    if len(sizes) != dims or any(n % 2 == 0 for n in sizes):
        raise ValueError(f"kernel {kernel} must be odd, one number or {dims} of them")
    padding = [n // 2 for n in sizes]
    if causal and sizes[0] > 1:
        return CAUSAL[dims - 1](channels_in, channels_out, sizes, padding=(0, *padding[1:]), bias=bias)
    return PLAIN[dims - 1](channels_in, channels_out, sizes, padding=padding, bias=bias)


def earlier(x: Tensor, count: int) -> Tensor:
    """[B, C, T, *rest] -> the same with its first moment repeated `count` times before it.

    Repeated, not zeros: then a still clip stays still through every layer, whatever its weights, and its latents are
    all those of the picture that it shows. A picture is the first moment of a clip that has not moved yet.
    """
    if not count:
        return x
    return torch.cat([x[:, :, :1].expand(-1, -1, count, *x.shape[3:]), x], dim=2)


class CausalConv1d(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(earlier(x, self.kernel_size[0] - 1))


class CausalConv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(earlier(x, self.kernel_size[0] - 1))


class CausalConv3d(nn.Conv3d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(earlier(x, self.kernel_size[0] - 1))


PLAIN = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CAUSAL = (CausalConv1d, CausalConv2d, CausalConv3d)


def fold(x: Tensor, factors: Sequence[int]) -> Tensor:
    """Space to depth: [B, C, *grid] -> [B, C*prod(factors), *grid/factors]. Exact inverse of `unfold`."""
    fine, coarse, sizes = _patterns(factors)
    return rearrange(x, f"{fine} -> {coarse}", **sizes)


def unfold(x: Tensor, factors: Sequence[int]) -> Tensor:
    """Depth to space: [B, C*prod(factors), *grid] -> [B, C, *grid*factors]."""
    fine, coarse, sizes = _patterns(factors)
    return rearrange(x, f"{coarse} -> {fine}", **sizes)


def _patterns(factors: Sequence[int]) -> tuple[str, str, dict[str, int]]:
    """The two sides of both rearrangements, and the sizes of the folded axes."""
    axes = AXES[: len(factors)]
    fine = " ".join(f"({n} f{n})" for n in axes)
    inner = " ".join(f"f{n}" for n in axes)
    sizes = {f"f{n}": f for n, f in zip(axes, factors, strict=True)}
    return f"b c {fine}", f"b (c {inner}) {' '.join(axes)}", sizes


class ResBlock(nn.Module):
    """Norm, conv, SiLU, conv beside an identity; the second conv starts at zero so that a new block is the identity.

    With `embed` channels given, `forward(x, embed)` scales and shifts between the convolutions (arXiv:2105.05233, 3.1).
    """

    def __init__(self, dims: int, width: int, embed: int | None = None, kernel: Kernel = 3) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.first = conv(dims, width, width, kernel)
        self.second = conv(dims, width, width, kernel)
        self.modulate = None if embed is None else nn.Linear(embed, 2 * width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, embed: Tensor | None = None) -> Tensor:
        """x [B, C, *grid]; embed [B, E] or, per position, [B, *grid, E]."""
        h = self.first(F.silu(self.norm(x)))
        if self.modulate is not None:
            scale, shift = channels_first(self.modulate(embed), x.ndim).chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return x + self.second(F.silu(h))


def channels_first(embed: Tensor, ndim: int) -> Tensor:
    """[B, E] -> [B, E, 1, ...] and [B, *grid, E] -> [B, E, *grid], to be broadcast over a tensor with `ndim` axes."""
    if embed.ndim == 2:
        return embed.reshape(*embed.shape, *(1,) * (ndim - 2))
    return embed.movedim(-1, 1)


class Down(nn.Module):
    """Divide the grid by `factors`: space to depth, a 3-wide conv, and the mean over the folded pixels as shortcut.

    The parameter-free shortcut follows DC-AE (arXiv:2410.10733): it makes deep compression easy to train. Of a causal
    time the first moment is folded with itself: 1 + n factor moments become 1 + n.
    """

    def __init__(
        self, channels_in: int, channels_out: int, factors: Sequence[int], kernel: Kernel = 3, *, causal: bool = False
    ) -> None:
        super().__init__()
        self.factors = tuple(factors)
        self.before = self.factors[0] - 1 if causal else 0
        folded = channels_in * math.prod(factors)
        self.channels_out = channels_out
        self.conv = conv(len(factors), folded, channels_out, kernel, causal=causal)
        self.shortcut = folded % channels_out == 0

    def forward(self, x: Tensor) -> Tensor:
        x = fold(earlier(x, self.before), self.factors)
        y = self.conv(x)
        if self.shortcut:
            y = y + x.unflatten(1, (self.channels_out, -1)).mean(2)
        return y


class Up(nn.Module):
    """Multiply the grid by `factors`: a 3-wide conv, depth to space, and the repeated channels as shortcut.

    Of a causal time the first moment becomes one: 1 + n become 1 + n factor."""

    def __init__(
        self, channels_in: int, channels_out: int, factors: Sequence[int], kernel: Kernel = 3, *, causal: bool = False
    ) -> None:
        super().__init__()
        self.factors = tuple(factors)
        self.before = self.factors[0] - 1 if causal else 0
        folded = channels_out * math.prod(factors)
        self.conv = conv(len(factors), channels_in, folded, kernel, causal=causal)
        self.repeats = folded // channels_in if folded % channels_in == 0 else 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.repeats:
            y = y + x.repeat_interleave(self.repeats, dim=1)
        y = unfold(y, self.factors)
        return y[:, :, self.before :] if self.before else y
