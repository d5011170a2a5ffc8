"""The latent cache: all media are encoded once, and kept beside the data under the autoencoder's hash.

One array holds the latents of everything, one after the other along time, the first axis of the grid: the positions of
sounds of any length, and [C, H, W] for each picture, which is one moment. A memory map then gives any stretch of any.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Latents:
    """rows: float16 [positions, C, *rest], of all media together; starts: int64 [N + 1], where each begins in them."""

    rows: np.ndarray
    starts: np.ndarray

    def __post_init__(self) -> None:
        if len(self.rows) != self.starts[-1]:
            raise ValueError(f"there are {len(self.rows)} latents, and the media have {self.starts[-1]}")

    def __len__(self) -> int:
        return len(self.starts) - 1

    def stretch(self, i: int, start: int, count: int) -> np.ndarray:
        """Latents [at most count, C, *rest] of i from position `start` on, as far as it goes."""
        first, stop = self.starts[i : i + 2]
        return self.rows[min(first + start, stop) : min(first + start + count, stop)]


def beginnings(lengths: Sequence[int]) -> np.ndarray:
    """The lengths of media, in latent positions -> where each begins, and where the last one ends: int64 [N + 1]."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)


def file_of(data: str | Path, weights: str | Path, part: str = "") -> Path:
    """Where the latents of a data folder are kept; the name holds the hash of the autoencoder's weights."""
    return Path(data) / "train" / f"latents-{sha256(Path(weights).read_bytes()).hexdigest()[:12]}{part}.npy"


@torch.no_grad()
def cached(
    file: Path, lengths: Sequence[int], encoded: Iterable[Tensor], told: Callable[[int], None] = lambda done: None
) -> Latents:
    """The latents mapped from `file`; made there if missing (whole or not at all), or if the data have grown.

    lengths: positions of each of the media. encoded: their latents [n, C, *rest] in order, in pieces of any sizes, not
    looked at where the file is there. `told(done)` says how many positions are encoded. ValueError if they are another
    number than the lengths say.
    """
    starts = beginnings(lengths)
    total = int(starts[-1])
    if file.exists() and len(rows := np.load(file, mmap_mode="r")) == total:
        return Latents(rows=rows, starts=starts)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial, written, done = file.with_suffix(".partial"), None, 0
    for piece in encoded:
        if written is None:
            written = np.lib.format.open_memmap(partial, "w+", np.float16, (total, *piece.shape[1:]))
        if done + len(piece) > total:
            raise ValueError(f"there are more latents than the {total} that the media have")
        written[done : done + len(piece)] = piece.half().cpu().numpy()
        told(done := done + len(piece))
    if written is None or done < total:
        raise ValueError(f"{done} of {total} latents came to be kept in {file}: there must be media, and all of them")
    written.flush()
    os.replace(partial, file)
    return Latents(rows=np.load(file, mmap_mode="r"), starts=starts)
