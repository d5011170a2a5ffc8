"""What a network predicts. Each prediction is one row (p, q) of y = p x0 + q eps; one conversion and one target serve
all.

A row is a function of (alpha, sigma), floats or tensors that broadcast over x. `edm` takes the data's standard
deviation first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mediagen.core import named
from mediagen.core.step import mix

Row = Callable[[Any, Any], tuple[Any, Any]]


def x0(a: Any, s: Any) -> tuple[Any, Any]:
    """The clean sample."""
    return 1.0, 0.0


def eps(a: Any, s: Any) -> tuple[Any, Any]:
    """The noise (arXiv 2006.11239). Cannot recover x0 where alpha = 0."""
    return 0.0, 1.0


def v(a: Any, s: Any) -> tuple[Any, Any]:
    """v = alpha eps - sigma x0 (arXiv 2202.00512)."""
    return -s, a


def flow(a: Any, s: Any) -> tuple[Any, Any]:
    """The velocity eps - x0 of the straight path (arXiv 2209.03003)."""
    return -1.0, 1.0


def edm(a: Any, s: Any, *, sigma_data: float = 0.5) -> tuple[Any, Any]:
    """EDM's F (arXiv 2206.00364, eq. 7) at noise level s / a; `find("edm", sigma_data=1.0)` is the row for other
    data.
    """
    r = (s * s + (a * sigma_data) ** 2) ** 0.5
    return s / (sigma_data * r), -a * sigma_data / r


def rows() -> dict[str, Row]:
    """Every prediction of this module by name: x0, eps, v, flow, edm."""
    return named.members(
        globals(), lambda f: inspect.isfunction(f) and list(inspect.signature(f).parameters)[:2] == ["a", "s"]
    )


def find(name: str | Row, **options: Any) -> Row:
    """A row by name (a row passes as it is); ValueError for an unknown name."""
    row = named.find("prediction", rows(), name) if isinstance(name, str) else name
    return partial(row, **options) if options else row


def to_x0(y: Tensor, x: Tensor, a: Any, s: Any, row: Row) -> Tensor:
    """x0 = (q x - s y) / (q a - p s). Shapes of x, y: [B, C, *grid]; a, s: floats or tensors that broadcast over x."""
    p, q = row(a, s)
    det = q * a - p * s
    return (q / det) * x - (s / det) * y


def to_output(x0: Tensor, x: Tensor, a: Any, s: Any, row: Row) -> Tensor:
    """The network output y that stands for x0 at x: the inverse of `to_x0`. sigma must be above 0; of a tensor's zeros
    (places that are known) nothing is to be said, and y is 0 there.
    """
    if isinstance(s, Tensor):
        there, s = s > 0, s.clamp(min=torch.finfo(s.dtype).tiny)
        p, q = row(a, s)
        return torch.where(there, (q * x - (q * a - p * s) * x0) / s, 0.0)
    p, q = row(a, s)
    return mix(x, x0, q / s, -(q * a - p * s) / s)


def to_eps(x0: Tensor, x: Tensor, a: Any, s: Any) -> Tensor:
    """The noise that stands for x0 at x: (x - a x0) / s. sigma must be above 0."""
    return (x - a * x0) / s


def target(x0: Tensor, eps: Tensor, a: Any, s: Any, row: Row) -> Tensor:
    """What the network should say, p x0 + q eps; the one loss is the mean square of its difference."""
    p, q = row(a, s)
    return p * x0 + q * eps
