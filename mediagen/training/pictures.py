"""Pictures and captions as batches, from a built dataset or a user's own folder."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from einops import reduce
from torch import Tensor

from ..autoencoders.base import Autoencoder
from ..data.folder import Folder
from ..data.stored import Scenes
from . import denoise, latents
from .trainer import Place


class Source(Protocol):
    """Anything with pictures uint8 [H, W, 3] and captions by index (`data.stored.Scenes`, `data.folder.Folder`)."""

    def __len__(self) -> int: ...

    def images(self, i: int) -> np.ndarray: ...

    def captions(self, i: int) -> tuple[str, ...]: ...


def source(folder: str | Path, split: str, size: int) -> Source:
    """The split of a built dataset, or else a user's own folder of pictures fitted to `size` pixels a side.

    ValueError if the folder is missing, or holds neither.
    """
    if not Path(folder).is_dir():
        raise ValueError(
            f"the data folder {folder} is missing: build it (mediagen data build), or name one of pictures"
        )
    built = Path(folder) / split
    return Scenes(built) if (built / "images.npy").exists() else Folder(folder, size)


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """Pictures a whole number of times smaller, by averaging."""

    pictures: Source
    factor: int

    def __len__(self) -> int:
        return len(self.pictures)

    def images(self, i: int) -> np.ndarray:
        """uint8 [H, W, 3]."""
        f = self.factor
        boxes = reduce(self.pictures.images(i).astype(np.float32), "(h a) (w b) c -> h w c", "mean", a=f, b=f)
        return boxes.round().astype(np.uint8)

    def captions(self, i: int) -> tuple[str, ...]:
        return self.pictures.captions(i)


def fitted(pictures: Source, size: int) -> Source:
    """Pictures of `size` pixels a side; larger ones are shrunk. ValueError unless their side is a multiple of it."""
    height, width = pictures.images(0).shape[:2]
    if height != width or size < 1 or height % size:
        raise ValueError(f"the pictures are {width}x{height}; size {size} must be that side, or divide it")
    return pictures if height == size else Shrunk(pictures=pictures, factor=height // size)


def repeated(pictures: Source, repeat: Mapping[str, int]) -> np.ndarray:
    """The indices of one epoch, scenes of a kind that `repeat` names that many times. ValueError for a kind that is not
    there, fewer than one time, or pictures that are no scenes."""
    scenes = pictures.pictures if isinstance(pictures, Shrunk) else pictures
    if not repeat:
        return np.arange(len(pictures))
    if not isinstance(scenes, Scenes):
        raise ValueError(f"repeat {dict(repeat)} names kinds of scenes, and the data are pictures of a folder")
    return denoise.repeated([scenes.kind(i) for i in range(len(scenes))], repeat)


def whole(pictures: Source, indices: Iterable[int]) -> Tensor:
    """Pictures [B, 3, H, W] in [-1, 1]; an index past the end starts again."""
    return scaled(np.stack([pictures.images(i % len(pictures)) for i in indices]))


def latents_of(
    pictures: Source, vae: Autoencoder, weights: str | Path, data: str | Path, here: Place
) -> latents.Latents:
    """The cached latents of a data folder's pictures, one position each."""
    shrunk = f"-{pictures.factor}th" if isinstance(pictures, Shrunk) else ""
    with here.first():
        file = latents.file_of(data, weights, shrunk)
        return latents.cached(file, [1] * len(pictures), encoded(pictures, vae, device=here.device))


def encoded(
    pictures: Source, vae: Autoencoder, batch: int = 64, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """The latents [n, C, H, W] of all pictures in order, `batch` at a time; the autoencoder lies on `device`."""
    for start in range(0, len(pictures), batch):
        yield vae.encode(whole(pictures, range(start, min(start + batch, len(pictures)))).to(device))


def pick(cache: latents.Latents, indices: Iterable[int]) -> Tensor:
    """Cached latents of pictures [B, C, H, W] in float32."""
    return torch.from_numpy(np.stack([cache.rows[i] for i in indices])).float()


def crops(pictures: Source, rng: np.random.Generator, count: int, side: int) -> Tensor:
    """Random crops [count, 3, side, side] in [-1, 1], half of them mirrored."""
    return scaled(np.stack([_crop(pictures.images(i), rng, side) for i in rng.integers(len(pictures), size=count)]))


def check_crop(pictures: Source, side: int) -> None:
    """ValueError unless crops of `side` fit into the pictures."""
    height, width = pictures.images(0).shape[:2]
    if not 0 < side <= min(height, width):
        raise ValueError(f"crop {side} does not fit into the pictures ({width}x{height})")


def _crop(picture: np.ndarray, rng: np.random.Generator, side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    patch = picture[y : y + side, x : x + side]
    return patch[:, ::-1] if rng.random() < 0.5 else patch


def scaled(pixels: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] -> float [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
