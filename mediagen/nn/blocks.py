"""The transformer block of the diffusion transformers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Attention, Groups, apart
from .embed import VectorLinear
from .norm import RMSNorm


class FeedForward(nn.Module):
    """SwiGLU (arXiv:2002.05202); `hidden` is the width between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward; all three modulated by time (adaLN-zero).

    The modulation is one vector for the whole network plus a learned table for each block (PixArt's adaLN-single,
    arXiv:2310.00426), which saves a third of the weights of arXiv:2212.09748 at equal quality. With a `rank` each block
    adds a low-rank modulation of its own: on few tokens it costs next to nothing, and what the whole prompt says then
    acts on each block differently.
    """

    PARTS = 8  # shift, scale, gate of self-attention and feed-forward; shift and scale of cross-attention

    def __init__(self, width: int, heads: int, context: int, hidden: int, rank: int = 0) -> None:
        super().__init__()
        self.norm = RMSNorm(width, learned=False)
        self.attention = Attention(width, heads)
        self.cross = Attention(width, heads, context)
        self.feed_forward = FeedForward(width, hidden)
        self.modulation_embed = nn.Parameter(torch.zeros(self.PARTS, width))
        self.own_embed = low_rank(width, rank, self.PARTS * width) if rank else None
        nn.init.zeros_(self.cross.out.weight)
        nn.init.zeros_(self.cross.out.bias)

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        rope: tuple[Tensor, Tensor],
        text: Tensor,
        mask: Tensor,
        time: Tensor | None = None,
        groups: Groups | None = None,
    ) -> Tensor:
        """x [B, N, width]; modulation [B, 1 or N, PARTS, width]; text [B, L, context]; mask bool [B, L]; time
        [B, 1 or N, width], from which a block makes a modulation of its own; groups: of self-attention, if it is not
        over all tokens (`attention.apart`; rope is then that of one group)."""
        if self.own_embed is not None:
            modulation = modulation + self.own_embed(time).unflatten(-1, (self.PARTS, x.shape[-1]))
        parts = (modulation + self.modulation_embed.to(modulation.dtype)).unbind(-2)
        shift, scale, gate, cross_shift, cross_scale, mlp_shift, mlp_scale, mlp_gate = parts
        seen = self.norm(x) * (1 + scale) + shift
        x = x + gate * (
            self.attention(seen, rope=rope) if groups is None else apart(self.attention, seen, rope, groups)
        )
        x = x + self.cross(self.norm(x) * (1 + cross_scale) + cross_shift, text, mask)
        return x + mlp_gate * self.feed_forward(self.norm(x) * (1 + mlp_scale) + mlp_shift)


def low_rank(width: int, rank: int, out: int) -> nn.Sequential:
    """A linear map of limited rank that is zero at first."""
    layers = nn.Sequential(VectorLinear(width, rank, bias=False), VectorLinear(rank, out, bias=False))
    nn.init.zeros_(layers[1].weight)
    return layers
