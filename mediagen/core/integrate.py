"""Integrals of polynomials against an exponential: the weights of every exponential multistep rule, in python
floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache


def moments(z: float, count: int) -> list[float]:
    """E[u^k], k = 1 .. count, under the density proportional to exp(z u) on [0, 1]: how a step weighs what happens
    along it.
    """
    if abs(z) < 1:
        weights = [w * math.exp(z * u) for u, w in _GAUSS]
        return [
            sum(w * u**k for (u, _), w in zip(_GAUSS, weights, strict=True)) / sum(weights) for k in range(1, count + 1)
        ]
    edge = -1 / math.expm1(-z)
    found = [edge - 1 / z]
    for k in range(2, count + 1):
        found.append(edge - k / z * found[-1])
    return found


def weights(nodes: Sequence[float], z: float) -> tuple[float, ...]:
    """Weights w_k of (f(u_k) - f(0)) that integrate f against exp(z u) exactly, f a polynomial through 0 and the nodes
    u_k. Remembered, for the next walk on the same grid asks for the same.
    """
    return _weights(tuple(nodes), z) if nodes else ()


@lru_cache(maxsize=4096)
def _weights(nodes: tuple[float, ...], z: float) -> tuple[float, ...]:
    mean = moments(z, len(nodes))
    found = []
    for k, node in enumerate(nodes):
        basis = [1.0 / node]  # u / u_k times the product over the others of (u - u_j) / (u_k - u_j), lowest power first
        for j, other in enumerate(nodes):
            if j != k:
                gap = node - other
                basis = [(low - other * high) / gap for low, high in zip([0.0, *basis], [*basis, 0.0], strict=True)]
        found.append(sum(c * m for c, m in zip(basis, mean, strict=True)))
    return tuple(found)


def _legendre() -> list[tuple[float, float]]:
    """Six Gauss-Legendre nodes and weights on [0, 1]."""
    half = [(0.2386191860831969, 0.4679139345726910), (0.6612093864662645, 0.3607615730481386)]
    half.append((0.9324695142031521, 0.1713244923791704))
    return [((1 + sign * u) / 2, w / 2) for u, w in half for sign in (-1, 1)]


_GAUSS = _legendre()
