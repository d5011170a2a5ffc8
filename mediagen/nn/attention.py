"""Attention over tokens, to themselves or to a condition."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .norm import RMSNorm
from .rope import rotate


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys (arXiv:2302.05442).

    `context` is the width of the tokens attended to; without it the tokens attend to themselves.
    """

    def __init__(self, width: int, heads: int, context: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(context or width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.query_norm = RMSNorm(width // heads)
        self.key_norm = RMSNorm(width // heads)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        rope: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """x [B, N, width], context [B, L, context], mask bool [B, L] (True: may be attended to); rope where tokens
        attend to themselves."""
        q = rearrange(self.query(x), "b n (h d) -> b h n d", h=self.heads)
        source = x if context is None else context
        k, v = rearrange(self.key_value(source), "b n (two h d) -> two b h n d", two=2, h=self.heads)
        q, k = self.query_norm(q), self.key_norm(k)
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        y = attend(q, k, v, None if mask is None else mask[:, None, None, :])
        return self.out(rearrange(y, "b h n d -> b n (h d)"))


Groups = tuple[int, str]
GROUPED = {"space": "(b t) s d", "time": "(b s) t d"}


def apart(attention: Attention, x: Tensor, rope: tuple[Tensor, Tensor], groups: Groups) -> Tensor:
    """Self-attention within groups of tokens: x [B, moments * places, width] -> the same.

    groups: (moments, "space"), each moment by itself, or (moments, "time"), each place along time. rope: of the tokens
    of one group.
    """
    moments, over = groups
    own = GROUPED[over]
    y = attention(rearrange(x, f"b (t s) d -> {own}", t=moments), rope=rope)
    return rearrange(y, f"{own} -> b (t s) d", b=len(x), t=moments)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of [B, heads, N, d] to [B, heads, L, d]; mask bool, to be broadcast to [B, heads, N, L].

    Written out where a CPU needs gradients for few tokens: the fused kernel's backward took a third of a training step
    of 16 tokens there, and a seventh of one of 80. Elsewhere it is the fused kernel.
    """
    few = q.shape[-2] * k.shape[-2] <= FEW
    if not (few and q.device.type == "cpu" and torch.is_grad_enabled() and q.requires_grad):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).to(v.dtype) @ v


FEW = 96 * 96
