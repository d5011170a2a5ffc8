"""A single .safetensors file: the parts of a checkpoint that it holds, by its keys, and these parts as modules.

What each key means is diffusers' to say (`loaders/single_file_utils.py`). Files that hold a denoiser alone, as those of
Flux and Wan mostly do, leave the other parts to the folder of the configurations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ._quantized import DENOISERS

WHERE = (  # prefix -> the part of these weights; all other weights are the denoiser's
    ("first_stage_model.", "vae"),
    ("vae.", "vae"),
    ("cond_stage_model.", "text_encoder"),
    ("conditioner.embedders.0.transformer.", "text_encoder"),
    ("conditioner.embedders.0.model.", "text_encoder_2"),  # of SDXL's refiner, which has no other
    ("conditioner.embedders.1.", "text_encoder_2"),
    ("text_encoders.clip_l.", "text_encoder"),
    ("text_encoders.clip_g.", "text_encoder_2"),
)
T5 = "text_encoders.t5xxl."


def held(keys: Sequence[str], index: Mapping[str, Any]) -> list[str]:
    """The parts of an index (part -> library and class) that a file with these keys holds."""
    found = {part for key in keys if (part := _part(key, index)) is not None}
    return sorted(part for part in found if isinstance(index.get(part), list) and None not in index[part])


def read(file: Path, held: Sequence[str], index: Mapping[str, Any], config: Path, dtype: Any, bits: Any) -> Any:
    """part -> module, of those that the file holds. config: the folder of their configurations; bits: a quantization
    config of diffusers for its pipeline, or None. ValueError for weights that are not there, or no single file's."""
    import diffusers
    from diffusers.loaders.single_file import load_single_file_sub_model
    from diffusers.loaders.single_file_utils import load_single_file_checkpoint

    whole, made = load_single_file_checkpoint(str(file)), {}
    for part in held:
        library, kind = index[part]
        _readable(library, kind)
        own = getattr(bits, "quant_mapping", {}).get(part)
        more = {} if own is None else {"quantization_config": own, "torch_dtype": dtype}
        said = {"library_name": library, "class_name": kind, "name": part, "checkpoint": dict(whole)}
        said |= {"pipelines": diffusers.pipelines, "is_pipeline_module": False, "cached_model_config_path": str(config)}
        try:
            made[part] = load_single_file_sub_model(**said, local_files_only=True, **more)
        except KeyError as error:  # what diffusers' renaming did not find
            raise ValueError(f"the file has no weight {error.args[0]!r}, which its {part} needs") from error
        except NotImplementedError as error:  # torch's, of weights that were not given
            raise ValueError(f"the file has not all weights of its {part}") from error
        _complete(made[part], part)
        made[part].eval()  # diffusers leaves T5 with its dropout
        if own is None:
            made[part].to(dtype)
    return made


def usual(shapes: Mapping[str, Sequence[int]]) -> str | None:
    """The repository whose configurations fit a file, by its keys and shapes; None for what diffusers does not know."""
    from diffusers.loaders import single_file_utils as known

    try:
        kind = known.infer_diffusers_model_type({k: torch.empty(v, device="meta") for k, v in shapes.items()})
    except (KeyError, IndexError, UnboundLocalError, ValueError):  # keys of a kind, with shapes of none
        return None
    if kind == "v1" and not any(key.startswith("model.diffusion_model.") for key in shapes):  # its last resort
        return None
    return known.DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]


def _part(key: str, index: Mapping[str, Any]) -> str | None:
    if key.startswith(T5):
        named = (part for part, made in index.items() if isinstance(made, list) and made[1] == "T5EncoderModel")
        return next(named, None)
    denoiser = next((part for part in DENOISERS if part in index), None)
    return next((part for prefix, part in WHERE if key.startswith(prefix)), denoiser)


def _readable(library: str, kind: str) -> None:
    """ValueError for a network of diffusers that it has no renaming for."""
    import diffusers

    if library == "diffusers" and not hasattr(getattr(diffusers, kind), "from_single_file"):
        raise ValueError(f"{kind} is not read from a single file: have it as a folder in diffusers' layout")


def _complete(network: nn.Module, part: str) -> None:
    """ValueError for weights that the file did not have; those that are shared are shared again."""
    if any(value.is_meta for value in network.parameters()) and hasattr(network, "tie_weights"):
        network.tie_weights()
    if absent := [name for name, value in network.named_parameters() if value.is_meta]:
        raise ValueError(f"the file lacks {len(absent)} weights of its {part}, such as {absent[0]}")
