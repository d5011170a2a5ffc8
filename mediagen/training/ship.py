"""Trained weights as they ship, in float16: `python -m mediagen.training.ship [--int8] [--mean] RUN ... FOLDER`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import weights

FILES = ("denoiser.safetensors", "vae.safetensors", "preview.safetensors")


def ship(runs: Sequence[Path], folder: Path, dtype: torch.dtype = torch.float16, *, mean: bool = False) -> list[Path]:
    """The weight files of the run folders -> copies in `folder`, stored as `weights.save` does; of several with one
    name the last, or their mean (of runs that go on from one another: arXiv:2203.05482). ValueError if a run has none,
    and for weights that do not fit each other."""
    found: dict[str, list[Path]] = {}
    for run in runs:
        files = [run / name for name in FILES if (run / name).exists()]
        if not files:
            raise ValueError(f"{run} holds none of {', '.join(FILES)}")
        for file in files:
            found.setdefault(file.name, []).append(file)
    for name, files in found.items():
        tensors, about = averaged(files if mean else files[-1:])
        weights.save(folder / name, tensors, about, dtype=dtype)
    return [folder / name for name in found]


def averaged(files: Sequence[Path]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The mean of weights of one network, and the header of the last file. ValueError for those of several."""
    read = [weights.load(file) for file in files]
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors, _ in read]
    if any(each != shapes[0] for each in shapes):
        raise ValueError(f"{', '.join(map(str, files))} are not weights of one network: they have no mean")
    (first, _), (_, about) = read[0], read[-1]
    sums = {name: sum(tensors[name] for tensors, _ in read) for name in first if first[name].is_floating_point()}
    return {**read[-1][0], **{name: total / len(read) for name, total in sums.items()}}, about


if __name__ == "__main__":
    *runs, folder = [Path(name) for name in sys.argv[1:] if not name.startswith("--")]
    stored = torch.int8 if "--int8" in sys.argv else torch.float16
    for file in ship(runs, folder, stored, mean="--mean" in sys.argv):
        sys.stdout.write(f"{file}  {file.stat().st_size / 1e6:.1f} MB\n")
