"""What is known of the media of a job, as latents: where they stay, and what has to be encoded for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ..autoencoders.base import LatentSpec, in_strides


def stays(spec: LatentSpec, keep: Tensor, grid: Sequence[int]) -> Tensor:
    """keep [B, 1, *size] of media, in 0 .. 1 -> [B, 1, *grid]: a latent position stays as far as all the media under it
    does."""
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[spec.dims - 1]
    kept = -pool(-in_strides(keep, spec), spec.stride)
    # positions that stand for no media, as of a clip's sound, are free
    beyond = [all_ - own for all_, own in zip(grid, kept.shape[2:], strict=True)]
    return F.pad(kept, [side for more in reversed(beyond) for side in (0, more)]) if any(beyond) else kept


def needed(spec: LatentSpec, media: Tensor, keep: Tensor) -> Tensor:
    """Of media [B, C, *size] what the latents that stay [B, 1, *grid] are encoded from: of causal time nothing after
    the last one, so that of a picture that a clip begins with this one frame is left."""
    if not spec.causal:
        return media
    staying = keep.transpose(0, 2).flatten(1).any(1).nonzero()
    return media[:, :, : spec.covered(0, int(staying[-1]) + 1 if len(staying) else 1)]
