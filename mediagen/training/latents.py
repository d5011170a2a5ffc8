"""The latent cache: each picture is encoded once, and kept beside the data under the autoencoder's hash."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..autoencoders.base import Autoencoder
from .pictures import Source, whole


@torch.no_grad()
def cached(
    pictures: Source, vae: Autoencoder, file: Path, batch: int = 64, told: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """float16 [N, C, *grid], mapped from `file`; made there if missing (whole or not at all). `told(done)` as it goes."""
    if file.exists():
        latents = np.load(file, mmap_mode="r")
        if len(latents) == len(pictures):
            return latents
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    latents: np.ndarray | None = None
    for start in range(0, len(pictures), batch):
        stop = min(start + batch, len(pictures))
        z = vae.encode(whole(pictures, range(start, stop)))
        if latents is None:
            latents = np.lib.format.open_memmap(partial, "w+", np.float16, (len(pictures), *z.shape[1:]))
        latents[start:stop] = z.half().numpy()
        told(stop)
    latents.flush()
    os.replace(partial, file)
    return np.load(file, mmap_mode="r")


def pick(latents: np.ndarray, indices: np.ndarray) -> Tensor:
    """Latents [B, C, *grid] in float32."""
    return torch.from_numpy(np.stack([latents[i] for i in indices])).float()
