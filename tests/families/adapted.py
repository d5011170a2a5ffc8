"""Files of adapters for tiny checkpoints, drawn at random, as diffusers, kohya, peft and others write them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]
ALPHA = 2.0


def factors(module: torch.nn.Module, ends: tuple[str, ...], seed: int, rank: int = 4) -> Factors:
    """layer -> (down, up) of the layers whose names end so."""
    g, found = torch.Generator().manual_seed(seed), {}
    for name, layer in module.named_modules():
        if name.endswith(ends) and hasattr(layer, "weight"):
            out, into, *kernel = layer.weight.shape
            down = torch.randn(rank, into, *kernel, generator=g) / layer.weight[0].numel() ** 0.5
            found[name] = down, torch.randn(out, rank, *[1] * len(kernel), generator=g) / rank**0.5
    return found


def diffusers(parts: dict[str, Factors], file: Path) -> Path:
    """alpha is the rank."""
    rows = {f"{part}.{name}": pair for part, found in parts.items() for name, pair in found.items()}
    return _save(
        {f"{k}.lora_{ab}.weight": v for k, pair in rows.items() for ab, v in zip("AB", pair, strict=True)}, file
    )


def kohya(parts: dict[str, Factors], file: Path, prefix: dict[str, str]) -> Path:
    """With alpha as a number of its own; prefix: part -> what kohya calls it."""
    state = {}
    for part, found in parts.items():
        for name, (down, up) in found.items():
            layer = f"{prefix[part]}_{name.replace('.', '_')}"
            state |= {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}
            state[f"{layer}.alpha"] = torch.tensor(ALPHA)
    return _save(state, file)


def old(found: Factors, file: Path) -> Path:
    """As the first files of diffusers had it, of attention alone."""
    state = {}
    for name, pair in found.items():
        head, _, last = name.removesuffix(".0").rpartition(".")
        for kind, value in zip(("down", "up"), pair, strict=True):
            state[f"unet.{head}.processor.{last}_lora.{kind}.weight"] = value
    return _save(state, file)


def peft(found: Factors, folder: Path, **settings) -> Path:
    """A folder, as peft writes it for one module."""
    folder.mkdir()
    state = {f"{k}.lora_{ab}.weight": v for k, pair in found.items() for ab, v in zip("AB", pair, strict=True)}
    _save({f"base_model.model.{key}": value for key, value in state.items()}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"} | settings))
    return folder


def _save(state: dict[str, torch.Tensor], file: Path) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    return file
