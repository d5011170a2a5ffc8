"""The one protocol that every conditioner follows."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor

TOKENS = 16  # what the lengths that texts are padded to are multiples of, where their company shall change nothing
Cond = dict[str, Tensor]
"""Named tensors with a leading batch axis, e.g. {"text": [B, L, D], "text_mask": bool [B, L]}."""


@runtime_checkable
class Conditioner(Protocol):
    """Inputs, one per sample -> a condition; `null(n)` is what n samples get when nothing is asked for."""

    def __call__(self, inputs: Sequence[Any], /) -> Cond: ...

    def null(self, n: int, /) -> Cond: ...


def padded(cond: Cond, like: Cond) -> Cond:
    """A condition whose tensors are as long as those of `like`, so that both can run in one batch: zeros (of a mask,
    False) at their ends. Rows stay as they are."""
    return {name: _padded(value, like[name]) for name, value in cond.items()}


def _padded(value: Tensor, like: Tensor) -> Tensor:
    extra = [more - own for own, more in zip(value.shape[1:], like.shape[1:], strict=True)]
    return F.pad(value, [side for more in reversed(extra) for side in (0, more)]) if any(extra) else value
