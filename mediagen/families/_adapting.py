"""What a checkpoint of diffusers can be adapted with: the parts that LoRA goes on, and what its own loaders know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from . import _hub as hub
from ._quiet import quiet
from .model import Adapts

PARTS = ("unet", "transformer", "text_encoder")  # begin the names of what LoRA goes on
CLIP = ("CLIPTextModel", "CLIPTextModelWithProjection")


def adapts_of(pipe: Any, **more: Any) -> Adapts:
    """more: what a family itself says, `control`."""
    from . import _pictures as pictures
    from . import _words as words

    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    learn = partial(words.learn, pipe) if readers(pipe) else None
    shown = pictures.Shown(pipe) if hasattr(pipe, "load_ip_adapter") and hasattr(pipe, "unet") else None
    networks = {name: part for name, part in parts.items() if name.startswith(PARTS)}
    return Adapts(parts=networks, renamed=_renamed(pipe), learn=learn, pictures=shown, **more)


def readers(pipe: Any) -> dict[str, tuple[Any, Any]]:
    """Part -> (tokenizer, text encoder) of each of its CLIPs; none for a checkpoint that has others too."""
    parts = {name: part for name, part in sorted(pipe.components.items()) if name.startswith("text_encoder")}
    tokenizers = {name: getattr(pipe, name.replace("text_encoder", "tokenizer"), None) for name in parts}
    found = {name: (tokenizers[name], part) for name, part in parts.items() if part is not None}
    plain = all(one is not None and type(two).__name__ in CLIP for one, two in found.values())
    return found if plain else {}


def place_of(path: str | Path, what: str, patterns: tuple[str, ...] = ("*.json", "*.safetensors")) -> Path:
    """A file, a folder, or the folder in the cache of a repository (owner/name, or owner/name@revision); ValueError,
    saying what it should be, if there is none."""
    place = Path(path)
    if place.exists():
        return place
    if not isinstance(path, str) or not hub.REPOSITORY.fullmatch(path):
        raise ValueError(f"{what} must be a file, a folder or a repository, and there is no {path}")
    return _fetched(path, what, patterns)


def _fetched(path: str, what: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    repository, where = hub.where(path)
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns), **where))
    except Exception as error:
        raise ValueError(
            f"{what}: there is no {path}, and no such repository can be fetched: {hub.reason(error)}"
        ) from error


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
