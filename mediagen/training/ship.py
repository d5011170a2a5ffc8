"""Trained weights as they ship, in float16 or int8: `python -m mediagen.training.ship [--int8] RUN ... FOLDER`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from . import weights

FILES = ("denoiser.safetensors", "vae.safetensors", "preview.safetensors")


def ship(runs: Sequence[Path], folder: Path, dtype: torch.dtype = torch.float16) -> list[Path]:
    """The weight files of each run folder -> copies in `folder`, stored as `weights.save` does; ValueError if a run has
    none."""
    written = []
    for run in runs:
        found = [run / name for name in FILES if (run / name).exists()]
        if not found:
            raise ValueError(f"{run} holds none of {', '.join(FILES)}")
        for file in found:
            tensors, about = weights.load(file)
            weights.save(folder / file.name, tensors, about, dtype=dtype)
            written.append(folder / file.name)
    return written


if __name__ == "__main__":
    *runs, folder = [Path(name) for name in sys.argv[1:] if name != "--int8"]
    for file in ship(runs, folder, torch.int8 if "--int8" in sys.argv else torch.float16):
        sys.stdout.write(f"{file}  {file.stat().st_size / 1e6:.1f} MB\n")
