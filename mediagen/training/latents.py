"""The latent cache: each picture is encoded once, and kept beside the data under the autoencoder's hash."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..autoencoders.base import Autoencoder
from .pictures import Shrunk, Source, whole
from .trainer import Place


def latents_of(pictures: Source, vae: Autoencoder, weights: str | Path, data: str | Path, here: Place) -> np.ndarray:
    """The cached latents of a data folder's pictures; the file's name holds the hash of the autoencoder's weights."""
    name = sha256(Path(weights).read_bytes()).hexdigest()[:12]
    shrunk = f"-{pictures.factor}th" if isinstance(pictures, Shrunk) else ""
    file = Path(data) / "train" / f"latents-{name}{shrunk}.npy"
    with here.first():
        return cached(pictures, vae, file, device=here.device)


@torch.no_grad()
def cached(
    pictures: Source,
    vae: Autoencoder,
    file: Path,
    batch: int = 64,
    device: torch.device | str = "cpu",
    told: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """float16 [N, C, *grid], mapped from `file`; made there if missing (whole or not at all). `told(done)` says how
    many pictures are encoded. The autoencoder lies on `device`."""
    if file.exists():
        latents = np.load(file, mmap_mode="r")
        if len(latents) == len(pictures):
            return latents
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    latents = None
    for start in range(0, len(pictures), batch):
        stop = min(start + batch, len(pictures))
        z = vae.encode(whole(pictures, range(start, stop)).to(device))
        if latents is None:
            latents = np.lib.format.open_memmap(partial, "w+", np.float16, (len(pictures), *z.shape[1:]))
        latents[start:stop] = z.half().cpu().numpy()
        told(stop)
    if latents is None:
        raise ValueError(f"there are no pictures to encode into {file}")
    latents.flush()
    os.replace(partial, file)
    return np.load(file, mmap_mode="r")


def pick(latents: np.ndarray, indices: np.ndarray) -> Tensor:
    """Latents [B, C, *grid] in float32."""
    return torch.from_numpy(np.stack([latents[i] for i in indices])).float()
