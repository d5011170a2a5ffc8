"""Measured orders of convergence: every rule on every path, against exact denoisers of a mixture of Gaussians.

The denoiser of such a mixture is known in closed form, so the only error is the rule's. The reference is the same walk
by rk4 with many more steps. The table in `docs/mathematics.md` is printed by this file and nothing else (`python -m
mediagen.bench.document docs/mathematics.md orders`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor

from mediagen.core import solve
from mediagen.core.path import VE, VP, Cosine, Flow, Path

from .document import row

PATHS: Mapping[str, Path] = {"flow": Flow(), "cosine": Cosine(), "vp": VP(), "ve": VE(sigma_min=0.02, sigma_max=20.0)}
INSIDE = {"flow": (0.9, 0.1), "cosine": (0.9, 0.1), "vp": (0.8, 0.05), "ve": (0.8, 0.2)}
COUNTS = (32, 128)

Denoise = Callable[[Tensor, float], Tensor]


def mixture(path: Path, *, dimensions: int = 3, modes: int = 4, seed: int = 0) -> Denoise:
    """The exact denoiser E[x0 | x, t], x [B, dimensions] float64, of a mixture of isotropic Gaussians drawn from
    `seed`.
    """
    g = torch.Generator().manual_seed(seed)
    means = torch.randn(modes, dimensions, generator=g, dtype=torch.float64)
    var = 0.05 + 0.3 * torch.rand(modes, generator=g, dtype=torch.float64)
    log_share = torch.log_softmax(torch.randn(modes, generator=g, dtype=torch.float64), 0)

    def denoise(x: Tensor, t: float) -> Tensor:
        a, s = path(t)
        spread = a * a * var + s * s
        gap = x[:, None] - a * means
        logits = log_share - gap.square().sum(-1) / (2 * spread) - dimensions / 2 * torch.log(spread)
        clean = means + (a * var / spread)[:, None] * gap
        return torch.einsum("bm,bmd->bd", torch.softmax(logits, -1), clean)

    return denoise


def measure(rule: str | solve.Rule, road: str, span: tuple[float, float], *, warm: bool = True) -> float:
    """The slope of log error against log steps, from 32 to 128 steps even in t over `span` of the path named `road`.

    warm: the first step is led in by steps that double from a tiny one, so that a multistep rule's first-order start,
    whose error is of order 2 in the end, does not hide the order of the rule. Without it this is what a user's grid
    gives.
    """
    errors = []
    for n in COUNTS:
        gap = _walk(rule, road, grid(span, n, warm=warm)) - _exact(road, span)
        errors.append(float(gap.square().mean().sqrt()))
    return math.log(errors[0] / errors[1]) / math.log(COUNTS[1] / COUNTS[0])


def grid(span: tuple[float, float], steps: int, *, warm: bool) -> Tensor:
    """Even times over the span; if `warm`, the first step is split into steps that double from its 1 / steps^2."""
    even = torch.linspace(*span, steps + 1, dtype=torch.float64)
    if not warm:
        return even
    halvings = torch.arange(math.ceil(2 * math.log2(steps)), 0, -1, dtype=torch.float64)
    return torch.cat((even[:1], even[0] + (even[1] - even[0]) * 2**-halvings, even[1:]))


@cache
def _start(road: str, span: tuple[float, float]) -> Tensor:
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    a, s = PATHS[road](span[0])
    return s * x + a * mixture(PATHS[road])(s * x, span[0])


@cache
def _exact(road: str, span: tuple[float, float]) -> Tensor:
    return _walk("rk4", road, torch.linspace(*span, (8192 if 0.0 in span else 1024) + 1, dtype=torch.float64))


def _walk(rule: str | solve.Rule, road: str, times: Tensor) -> Tensor:
    path = PATHS[road]
    span = (float(times[0]), float(times[-1]))
    return solve.last(solve.sample(mixture(path), _start(road, span), path, times, rule=rule, eta=0.0)).x


def table() -> str:
    """The markdown table of every rule: calls per step, nominal order, and the order measured on each path."""
    head = [
        "rule",
        "calls",
        "order",
        *(f"{n} {INSIDE[n][0]:g} to {INSIDE[n][1]:g}" for n in PATHS),
        "flow 1 to 0, cold",
    ]
    lines = [row(head), row(["---"] * len(head))]
    for name, rule in solve.rules().items():
        inside = [measure(name, road, INSIDE[road]) for road in PATHS]
        whole = measure(name, "flow", (1.0, 0.0), warm=False)
        marks = [f"{value:.2f}" for value in (*inside, whole)]
        lines.append(row([f"`{name}`", str(vars(rule)["evaluations"]), str(vars(rule)["order"]), *marks]))
    return "\n".join(lines)
