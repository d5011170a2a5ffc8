"""What a checkpoint of diffusers can be adapted with: the parts that LoRA goes on, and what its own loaders know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from . import _pictures as pictures
from . import _words as words
from ._quiet import quiet
from .model import Adapts

PARTS = ("unet", "transformer", "text_encoder")  # begin the names of what LoRA goes on


def adapts_of(pipe: Any, **more: Any) -> Adapts:
    """more: what a family itself says, `control`."""
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    learn = partial(words.learn, pipe) if words.readers(pipe) else None
    shown = pictures.Shown(pipe) if hasattr(pipe, "load_ip_adapter") and hasattr(pipe, "unet") else None
    networks = {name: part for name, part in parts.items() if name.startswith(PARTS)}
    return Adapts(parts=networks, renamed=_renamed(pipe), learn=learn, pictures=shown, **more)


def _renamed(pipe: Any) -> Callable[[dict[str, Tensor]], Mapping[str, Any]] | None:
    """The keys of other releases' LoRA -> those of diffusers, by the loader that the pipeline's class has, if any."""
    loader = getattr(type(pipe), "lora_state_dict", None)
    if loader is None:
        return None

    def renamed(tensors: dict[str, Tensor]) -> Mapping[str, Any]:
        options = {"unet_config": pipe.unet.config} if getattr(pipe, "unet", None) is not None else {}
        with quiet():
            found = loader(tensors, return_alphas=True, **options)
        names, *alphas = found if isinstance(found, tuple) else (found,)
        return {**names, **(alphas[0] if alphas and alphas[0] else {})}

    return renamed
