"""Muon for weight matrices and AdamW for everything else, as one optimizer."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonalise(g: Tensor, steps: int = 5) -> Tensor:
    """Push the singular values of a matrix to about 1 by a quintic Newton-Schulz iteration (Jordan et al., Muon)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16() / (g.norm() + 1e-7)
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.T).to(g.dtype)


class Muon(torch.optim.Optimizer):
    """Matrices and convolution kernels take orthogonalised momentum, scaled so that its RMS is that of an AdamW update
    (0.2 sqrt(max(rows, columns)), arXiv:2502.16982), vectors, embeddings and first and last layers plain AdamW.

    `groups` comes from `parameter_groups`; lr is shared by both kinds.
    """

    def __init__(self, groups: Iterable[dict], lr: float = 1e-3, weight_decay: float = 0.01) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "betas": (0.9, 0.98), "momentum": 0.95})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            rule = self._matrix if group["matrix"] else self._adam
            for p in group["params"]:
                if p.grad is not None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    rule(p, group)

    def _matrix(self, p: Tensor, group: dict) -> None:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        momentum = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        update = p.grad.lerp(momentum, group["momentum"]).flatten(1)
        scale = 0.2 * max(update.shape) ** 0.5
        p.add_(orthogonalise(update).view_as(p), alpha=-group["lr"] * scale)

    def _adam(self, p: Tensor, group: dict) -> None:
        state, (b1, b2) = self.state[p], group["betas"]
        if not state:
            state.update(step=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
        state["step"] += 1
        m = state["m"].lerp_(p.grad, 1 - b1)
        v = state["v"].lerp_(p.grad.square(), 1 - b2)
        correction = (1 - b2 ** state["step"]) ** 0.5 / (1 - b1 ** state["step"])
        p.addcdiv_(m, v.sqrt().add_(1e-8), value=-group["lr"] * correction)


def parameter_groups(module: nn.Module) -> list[dict]:
    """Split trainable parameters: hidden matrices (both sides at least 16 wide) go to Muon, the rest to AdamW.

    Names that hold "embed" or "head" (where media enter and leave) stay with AdamW, as Muon's authors advise.
    """
    matrices, others = [], []
    for name, p in module.named_parameters():
        if p.requires_grad:
            hidden = p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 16 and "embed" not in name and "head" not in name
            (matrices if hidden else others).append(p)
    groups = [{"params": matrices, "matrix": True}, {"params": others, "matrix": False, "weight_decay": 0.0}]
    return [g for g in groups if g["params"]]
