"""Trained weights in half precision, as they ship: `python -m mediagen.training.ship RUN ... FOLDER`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from . import weights

FILES = ("denoiser.safetensors", "vae.safetensors", "preview.safetensors")


def ship(runs: Sequence[Path], folder: Path) -> list[Path]:
    """The weight files of each run folder -> float16 copies in `folder`; ValueError if a run has none."""
    written = []
    for run in runs:
        found = [run / name for name in FILES if (run / name).exists()]
        if not found:
            raise ValueError(f"{run} holds none of {', '.join(FILES)}")
        for file in found:
            tensors, about = weights.load(file)
            weights.save(folder / file.name, tensors, about, dtype=torch.float16)
            written.append(folder / file.name)
    return written


if __name__ == "__main__":
    *runs, folder = map(Path, sys.argv[1:])
    for file in ship(runs, folder):
        sys.stdout.write(f"{file}  {file.stat().st_size / 1e6:.1f} MB\n")
