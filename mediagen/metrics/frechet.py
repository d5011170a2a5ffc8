"""Frechet distance between two sets of feature vectors (arXiv:1706.08500, section 2)."""

import torch
from torch import Tensor


def frechet(first: Tensor, second: Tensor) -> float:
    """Distance between the Gaussians fitted to features [N, F] and [M, F].

    It is 0 for the same set and biased upward for small sets.
    ValueError for fewer than two rows or unlike widths.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise ValueError(
            f"features are {tuple(first.shape)} and {tuple(second.shape)}: two rows or more and one width are needed"
        )
    return gaussians(*_moments(first), *_moments(second))


def gaussians(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) for means [F] and covariances [F, F], in float64.

    The trace of the root is that of the symmetric (R C_b R)^(1/2) with R = C_a^(1/2), so `eigh` is enough.
    """
    mean_a, cov_a, mean_b, cov_b = (x.double() for x in (mean_a, cov_a, mean_b, cov_b))
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return max(0.0, distance.item())


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features.double()
    return features.mean(0), torch.cov(features.T).reshape(features.shape[1], features.shape[1])
