"""How steady a clip is: what trembles, and what no motion explains. Both are to be read beside those of real clips."""

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

BLOCK = 8  # pixels a side of what moves together
REACH = 6  # pixels that it may move from one frame to the next


def flicker(x: Tensor) -> Tensor:
    """Mean absolute second difference in time of each clip [B, 3, F, H, W], F >= 3 -> [B]: little in what stands still
    or moves evenly, much in what comes and goes from frame to frame."""
    if x.ndim != 5 or x.shape[2] < 3:
        raise ValueError(f"clips are {list(x.shape)}; flicker needs [B, 3, F, H, W] of three frames or more")
    return x.float().diff(n=2, dim=2).abs().mean((1, 2, 3, 4))


def warp_error(x: Tensor) -> Tensor:
    """What is left of the change between successive frames when every block of 8x8 pixels is taken from the best place
    within 6 pixels of the frame before: mean absolute difference of each clip [B, 3, F, H, W] -> [B].

    Zero for a scene that is moved as a whole by whole pixels, but for its edges; large where things change their looks.
    """
    if x.ndim != 5 or x.shape[2] < 2 or x.shape[3] % BLOCK or x.shape[4] % BLOCK:
        raise ValueError(
            f"clips are {list(x.shape)}; they need two frames or more and sides that are multiples of {BLOCK}"
        )
    count, frames, height, width = x.shape[0], x.shape[2] - 1, *x.shape[3:]
    flat = rearrange(x.float(), "b c f h w -> (b f) c h w")
    pictures = rearrange(flat, "(b f) c h w -> b f c h w", b=count)
    now, before = pictures[:, 1:].flatten(0, 1), pictures[:, :-1].flatten(0, 1)
    before = F.pad(before, (REACH,) * 4, mode="replicate")
    best = torch.full((count * frames, height // BLOCK, width // BLOCK), torch.inf, device=x.device)
    for dy in range(2 * REACH + 1):
        for dx in range(2 * REACH + 1):
            away = (now - before[:, :, dy : dy + height, dx : dx + width]).abs()
            best = torch.minimum(best, reduce(away, "n c (i p) (j q) -> n i j", "mean", p=BLOCK, q=BLOCK))
    return reduce(best, "(b f) i j -> b", "mean", b=count)
