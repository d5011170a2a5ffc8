"""The one protocol that every conditioner follows."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

Cond = dict[str, Tensor]
"""Named tensors with a leading batch axis, e.g. {"text": [B, L, D], "text_mask": bool [B, L]}."""


@runtime_checkable
class Conditioner(Protocol):
    """Inputs, one per sample -> a condition; `null(n)` is what n samples get when nothing is asked for."""

    def __call__(self, inputs: Sequence[Any], /) -> Cond: ...

    def null(self, n: int, /) -> Cond: ...
