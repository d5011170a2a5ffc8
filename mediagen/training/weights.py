"""Safetensors with the configuration of the network in the header."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..autoencoders import build
from ..autoencoders.whitened import Whitened

SCALE = ":scale"  # of the tensor that holds what each row of an int8 matrix was divided by
LONG = 64  # numbers that a row must have for a scale of its own to be worth it


def save(
    path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write tensors (floats cast to `dtype`) and a JSON header to `path`, in one move.

    int8: matrices and kernels with one scale a row (output channel), rounded to the nearest; all else in float16.
    """
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    cast = {name: v.contiguous().cpu() for k, v in tensors.items() for name, v in _cast(k, v.detach(), dtype).items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    os.close(handle)
    try:
        save_file(cast, temporary, metadata={"mediagen": json.dumps(header)})
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors in float32 and the JSON header; ValueError if the file is missing, truncated or not ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("mediagen", "null"))
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, ValueError) as error:
        raise ValueError(f"the weights {path} cannot be read: {error}") from error
    if header is None:
        raise ValueError(f"{path} holds no mediagen header: it is not a file that mediagen trained")
    return {k: _restored(v, tensors.get(k + SCALE)) for k, v in tensors.items() if not k.endswith(SCALE)}, header


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """What a tensor is stored as."""
    if not tensor.is_floating_point():
        return {name: tensor}
    if dtype != torch.int8:
        return {name: tensor.to(dtype)}
    if tensor.ndim < 2 or tensor[0].numel() < LONG:
        return {name: tensor.half()}
    rows = tensor.float().flatten(1)
    scale = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
    return {name: (rows / scale).round().to(torch.int8).view(tensor.shape), name + SCALE: scale[:, 0]}


def _restored(stored: Tensor, scale: Tensor | None) -> Tensor:
    """What is computed with: float32, whatever a float is stored as."""
    if scale is not None:
        return stored.float() * scale.view(-1, *(1,) * (stored.ndim - 1))
    return stored.float() if stored.is_floating_point() else stored


def fill(module: nn.Module, path: str | Path) -> None:
    """Copy a weights file into a module; ValueError if it belongs to another network."""
    fit(module, load(path)[0], path, assign=False)


def fit(module: nn.Module, tensors: Mapping[str, Tensor], path: str | Path, assign: bool = True) -> None:
    """Give a module the weights that came from `path` (a module on the meta device can only take them, so `assign`);
    ValueError if they belong to another network."""
    try:
        module.load_state_dict(tensors, assign=assign)
    except RuntimeError as error:
        raise ValueError(f"the weights {path} do not fit this network: {error}") from error


def load_autoencoder(path: str | Path) -> Whitened:
    """Weights of any kind of autoencoder (of pictures, sound, clips) -> the autoencoder, frozen. ValueError if the file
    is missing, broken or something else."""
    tensors, about = load(path)
    with torch.device("meta"):
        vae = build(str(about.get("kind")), about.get("config"), str(path))
    fit(vae, tensors, path)
    return vae.eval().requires_grad_(False)
