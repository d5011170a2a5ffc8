"""Low-rank adapters (LoRA, arXiv 2106.09685) of linear layers and of convolutions of any dimension.

An adapter adds `scale * up(down(x))` to what a layer answers, or once and for all `scale * up @ down` to its weights.
The layers themselves stay where they are: what calls them, networks of diffusers or ours, needs to know nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)


class LowRank(nn.Module):
    """What is added to one layer's answer.

    down [rank, in, *kernel], up [out, rank, *kernel]; mid [rank, rank, *kernel], of convolutions that are split three
    ways (arXiv 2309.14859). One of a convolution's factors has its kernel, the others have one place only. scale: alpha
    / rank. ValueError for factors that do not fit the layer.
    """

    def __init__(self, layer: nn.Module, down: Tensor, up: Tensor, mid: Tensor | None = None, scale: float = 1.0):
        super().__init__()
        if not fits(layer):
            raise ValueError(f"{type(layer).__name__} takes no low-rank adapter; only plain linear layers and Conv do")
        self.scale, self.steps, self.convolve = scale, _steps(layer), _convolution(layer)
        kernel = tuple(layer.weight.shape[2:])
        factors = [_shaped(each, kernel) for each in (down, mid, up) if each is not None]
        _check(layer, factors, kernel)
        self.wide = [each.shape[2:] == kernel for each in factors].index(True)
        self.factors = nn.ParameterList(factors)

    @classmethod
    def fresh(cls, layer: nn.Module, rank: int, alpha: float, generator: torch.Generator) -> LowRank:
        """One to be trained: down is drawn, up is 0, so that it changes nothing yet."""
        out, into, *kernel = _sizes(layer)
        bound = 1 / math.sqrt(into * math.prod(kernel))
        down = torch.rand(rank, into, *kernel, generator=generator) * 2 * bound - bound
        return cls(layer, down, torch.zeros(out, rank, *[1] * len(kernel)), scale=alpha / rank)

    @property
    def rank(self) -> int:
        return self.factors[0].shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """The layer's input -> what is added to its answer."""
        y = x
        for number, factor in enumerate(self.factors):
            weight = factor.to(x)
            if self.convolve is None:
                y = F.linear(y, weight)
            else:
                y = self.convolve(y, weight, **(self.steps if number == self.wide else {}))
        return y * self.scale

    def delta(self) -> Tensor:
        """What is added to the layer's weight, in float32 and of its shape."""
        first, *others = (factor.float() for factor in self.factors)
        total = first
        for factor in others:
            total = torch.einsum("or...,ri...->oi...", factor, total)
        return total * self.scale


def fits(layer: nn.Module) -> bool:
    """Whether it takes an adapter: a linear layer, also a quantised one, or a convolution in one group. Not the one in
    `nn.MultiheadAttention`, which is never called."""
    plain = isinstance(layer, LAYERS) and not isinstance(layer, nn.modules.linear.NonDynamicallyQuantizableLinear)
    return plain and getattr(layer, "groups", 1) == 1 and getattr(layer, "padding_mode", "zeros") == "zeros"


def joined(layer: nn.Module, parts: Sequence[tuple[LowRank, float]]) -> Callable[[Tensor], Tensor]:
    """Several adapters of one layer with their weights as one of all their ranks: two products, however many there are.
    Those split three ways, and those whose kernels lie elsewhere, stay by themselves."""
    if len({(low.wide, len(low.factors)) for low, _ in parts} | {(0, 2)}) > 1:
        return lambda x: sum((low(x) * weight for low, weight in parts[1:]), parts[0][0](x) * parts[0][1])
    down = torch.cat([low.factors[0].data for low, _ in parts])
    up = torch.cat([low.factors[1].data * (low.scale * weight) for low, weight in parts], 1)
    return LowRank(layer, down, up).to(_home(layer)).requires_grad_(False)


@contextmanager
def attached(layers: Mapping[nn.Module, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Meanwhile each layer answers with what is `beside` it added."""
    handles = attach(layers)
    try:
        yield
    finally:
        detach(handles)


def attach(layers: Mapping[nn.Module, Callable[[Tensor], Tensor]]) -> list[RemovableHandle]:
    """From now on each layer answers with what its own adapter says of its input added."""
    return [layer.register_forward_hook(_adding(low)) for layer, low in layers.items()]


def detach(handles: Sequence[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


@torch.no_grad()
def fuse(layers: Mapping[nn.Module, Sequence[tuple[LowRank, float]]]) -> dict[nn.Module, Tensor]:
    """Adds the adapters to the weights, after which they cost nothing; returns the weights as they were, on the CPU.
    ValueError for a layer whose weights are quantised, or not there as they are offloaded."""
    for layer in layers:
        if not layer.weight.is_floating_point() or layer.weight.ndim < 2 or layer.weight.is_meta:
            kind = type(layer).__name__
            raise ValueError(f"the weights of a {kind} are quantised or offloaded: adapters stay beside them, unfused")
    before = {layer: layer.weight.detach().cpu().clone() for layer in layers}
    for layer, parts in layers.items():
        total = layer.weight.float()
        for low, weight in parts:
            total = total + low.delta().to(total.device) * weight
        layer.weight.copy_(total)
    return before


@torch.no_grad()
def restore(before: Mapping[nn.Module, Tensor]) -> None:
    """The weights as they were, to the bit."""
    for layer, weight in before.items():
        layer.weight.copy_(weight)


def _adding(low: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda layer, given, answer: answer + low(given[0]).to(answer.dtype)


def _home(layer: nn.Module) -> Tensor:
    """A tensor of the place and dtype that the layer computes in: float32 where its weights are quantised, the CPU
    where they are offloaded."""
    weight = layer.weight
    plain = weight.is_floating_point() and weight.element_size() > 1
    place = torch.device("cpu") if weight.is_meta else weight.device
    return torch.empty(0, dtype=weight.dtype if plain else torch.float32, device=place)


def _sizes(layer: nn.Module) -> tuple[int, ...]:
    """(out, in, *kernel); of quantised weights too, which have other shapes."""
    if isinstance(layer, nn.Linear):
        return (layer.out_features, layer.in_features)
    return tuple(layer.weight.shape)


def _steps(layer: Any) -> dict[str, Any]:
    names = ("stride", "padding", "dilation")
    return {} if isinstance(layer, nn.Linear) else {name: getattr(layer, name) for name in names}


def _convolution(layer: nn.Module) -> Callable[..., Tensor] | None:
    kinds = zip(CONVOLUTIONS, (F.conv1d, F.conv2d, F.conv3d), strict=True)
    return next((function for kind, function in kinds if isinstance(layer, kind)), None)


def _shaped(factor: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """A factor with as many axes as the layer's weights: linear layers were convolutions of one place at times, and
    the other way round."""
    if factor.ndim > 2 + len(kernel) and set(factor.shape[2:]) == {1}:
        return factor.flatten(1)
    return factor.reshape(*factor.shape, *[1] * len(kernel)) if factor.ndim == 2 else factor


def _check(layer: nn.Module, factors: Sequence[Tensor], kernel: tuple[int, ...]) -> None:
    out, into, *_ = sizes = _sizes(layer)
    chain = [into, *(side for factor in factors for side in (factor.shape[1], factor.shape[0])), out]
    links = all(before == after for before, after in zip(chain[::2], chain[1::2], strict=True))
    spread = [tuple(factor.shape[2:]) for factor in factors if set(factor.shape[2:]) - {1}]
    if not links or spread not in ([], [kernel]) or (bool(spread) != bool(set(kernel) - {1})):
        shapes = " and ".join(str(list(factor.shape)) for factor in factors)
        raise ValueError(f"factors of the shapes {shapes} do not fit a layer of {list(sizes)}")
