"""The quantile of the Beta distribution, which torch lacks."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def beta_quantile(u: Tensor, a: float, b: float) -> Tensor:
    """The x at which the Beta(a, b) distribution function is u, float64, by bisection."""
    u = u.double()
    low, high = torch.zeros_like(u), torch.ones_like(u)
    for _ in range(54):
        middle = (low + high) / 2
        below = _beta_cdf(middle, a, b) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return torch.where(u <= 0, torch.zeros_like(u), torch.where(u >= 1, torch.ones_like(u), (low + high) / 2))


def _beta_cdf(x: Tensor, a: float, b: float) -> Tensor:
    left = _beta_integral(x.clamp(max=0.5), a, b)
    right = _beta_integral((1 - x).clamp(max=0.5), b, a)
    whole = math.exp(math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    return torch.where(x <= 0.5, left / whole, 1 - right / whole)


def _beta_integral(x: Tensor, a: float, b: float) -> Tensor:
    """The incomplete beta integral from 0 to x <= 1/2 by its power series, which halves with each term there."""
    series = (x[..., None] ** torch.arange(60, dtype=x.dtype, device=x.device)) @ _beta_terms(a, b).to(x)
    return x**a * series


@lru_cache(maxsize=16)
def _beta_terms(a: float, b: float) -> Tensor:
    terms, rising = [], 1.0
    for n in range(60):
        terms.append(rising / (a + n))
        rising *= (n + 1 - b) / (n + 1)
    return torch.tensor(terms, dtype=torch.float64)
