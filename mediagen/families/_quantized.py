"""Weights in fewer bits: torchao's, bitsandbytes', diffusers' own, and files in GGUF."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ._whole import check

NEEDS = {"int8": "torchao", "nf4": "bitsandbytes", "int8-bnb": "bitsandbytes", "fp8": "diffusers", "gguf": "gguf"}
METHODS = {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "gguf": "gguf"}  # that published weights are kept by
DENOISERS = ("unet", "transformer", "transformer_2", "prior")


def config(quantize: Any, dtype: torch.dtype, index: Mapping[str, Any]) -> Any:
    """What diffusers' loader is given as quantization_config: None where nothing is quantised while it loads.
    ValueError for a name that is not known, or a library that is not there."""
    if quantize is None or quantize == "fp8":
        return None
    if not isinstance(quantize, str):
        return quantize
    needs(quantize)
    from diffusers import BitsAndBytesConfig, PipelineQuantizationConfig, TorchAoConfig

    if quantize == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        one = TorchAoConfig(Int8WeightOnlyConfig())
    elif quantize == "nf4":
        one = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    else:
        one = BitsAndBytesConfig(load_in_8bit=True)
    return PipelineQuantizationConfig(quant_mapping={name: one for name in DENOISERS if name in index})


def needs(quantize: str) -> None:
    """ValueError for a way that is not known, or whose library is not installed."""
    if quantize not in NEEDS:
        raise ValueError(f"quantize is {quantize!r}; it must be one of {', '.join(NEEDS)}, or a config of diffusers")
    if importlib.util.find_spec(NEEDS[quantize]) is None:
        raise ValueError(f"{quantize} needs {NEEDS[quantize]}: pip install {NEEDS[quantize]}")


def kept(folder: Path) -> str | None:
    """How the weights of a part were published, by its own configuration: "nf4", "fp4" or "int8-bnb" (bitsandbytes), or
    another method by its name; None for whole ones."""
    said = _said(folder)
    if said.get("load_in_8bit"):
        return "int8-bnb"
    if said.get("load_in_4bit"):
        return said.get("bnb_4bit_quant_type", "fp4")
    return said.get("quant_method")


def readable(folder: Path) -> None:
    """ValueError for a part that was published in fewer bits, and whose library is not installed."""
    library = METHODS.get(_said(folder).get("quant_method", ""))
    if library is not None and importlib.util.find_spec(library) is None:
        raise ValueError(
            f"the weights of {folder} are kept in {kept(folder)}, which needs {library}: pip install {library}"
        )


def _said(folder: Path) -> Mapping[str, Any]:
    return configuration(folder).get("quantization_config") or {}


def configuration(folder: Path) -> Mapping[str, Any]:
    """What a part says of itself; nothing where there is no such file. ValueError for one that cannot be read."""
    file = folder / "config.json"
    if not file.is_file():
        return {}
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no readable configuration: {error}") from error
    if not isinstance(read, dict):
        raise ValueError(f"{file} is no configuration: it must be a mapping")
    return read


def whole(pipe: Any) -> bool:
    """Whether no part of a pipeline is in fewer bits, whoever made it so."""
    return not any(getattr(part, "is_quantized", False) for part in pipe.components.values())


def eighths(network: Any, dtype: torch.dtype) -> None:
    """Weights kept in 8-bit floats, each layer's taken to `dtype` when it runs. ValueError for a network that has not
    learnt it from diffusers."""
    if not hasattr(network, "enable_layerwise_casting"):
        raise ValueError(f"{type(network).__name__} keeps no weights in 8 bits: leave out quantize='fp8'")
    network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)


def part(kind: Any, given: Any, config: Path, dtype: torch.dtype) -> Any:
    """What stands in the place of a checkpoint's own part: a module, or a .gguf or .safetensors file or a folder ->
    the module. kind: its class; config: the folder of the part's own configuration."""
    if not isinstance(given, str | Path):
        return given
    file, options = Path(given), {"torch_dtype": dtype, "local_files_only": True}
    if file.is_dir():
        made = kind.from_pretrained(file, use_safetensors=True, **options)
        check(config.name, made)
        return made
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    if file.suffix not in (".gguf", ".safetensors"):
        raise ValueError(f"{file} must be a .gguf or .safetensors file, or a folder in diffusers' layout")
    if not hasattr(kind, "from_single_file"):
        raise ValueError(f"{kind.__name__} is not read from a single file")
    if file.suffix == ".gguf":
        needs("gguf")
        from diffusers import GGUFQuantizationConfig

        options["quantization_config"] = GGUFQuantizationConfig(compute_dtype=dtype)
    return kind.from_single_file(str(file), config=str(config), **options)
