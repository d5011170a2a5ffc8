"""What a ring of processes needs on CPUs: attention that also says how large its sums are.

Each process attends to its own keys and then to those of the others, and what comes of each turn is weighted by the
logarithm of its sum (arXiv:2310.01889). diffusers' attention on CPUs, torch's own, does not tell it; the kernel below
torch's call does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SCALE, TELL = 2, 4  # of what follows the mask, as diffusers' ring hands it on: dropout, causal, scale, grouped, tell


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> tuple[Tensor, Tensor]:
    """Attention on a CPU, and the natural logarithm of the sum of each query's exponentials: q [B, L, H, D], k and v
    [B, S, H, D] -> [B, L, H, D] and float32 [B, L, H]."""
    heads = (each.transpose(1, 2) for each in (q, k, v))
    out, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*heads, 0.0, False, scale=scale)
    return out.transpose(1, 2), sums.transpose(1, 2)


def told() -> None:
    """From now on diffusers' plain attention tells its sums where it is asked to, which it refused before."""
    from diffusers.models import attention_dispatch as diffusers_attention

    plain = diffusers_attention._native_attention_forward_op
    if getattr(plain, "tells", False):
        return

    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, *more: Any, **options: Any) -> Any:
        if len(more) <= TELL or not more[TELL]:
            return plain(ctx, q, k, v, mask, *more, **options)
        if mask is not None:
            raise ValueError("a network that masks what it attends to cannot be split by a ring: parallel='ulysses'")
        return attend(q, k, v, more[SCALE])

    forward.tells = True
    diffusers_attention._native_attention_forward_op = forward
