"""A published checkpoint without its weights: all of its parts on the meta device, from their configurations."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ._files import stored
from ._placing import blocks, modules
from ._quantized import kept


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part's name and class, its parameters, those that lie together where it is offloaded block by block, and those
    of its largest layer. kept: how its weights were published, where that is in fewer bits (`_quantized.kept`), and
    stored: in how many bytes, where that is known."""

    name: str
    kind: str
    parameters: int
    block: int
    layer: int
    kept: str | None = None
    stored: int | None = None


class Reader(nn.Module):
    """In a text encoder's place: zeros of the shapes that it gives, so that prompts are encoded without weights."""

    def __init__(self, config: Any, projected: bool) -> None:
        super().__init__()
        self.config, self.projected = config, projected
        self.none = nn.Parameter(torch.zeros(0))

    @property
    def dtype(self) -> torch.dtype:
        return self.none.dtype

    @property
    def device(self) -> torch.device:
        return self.none.device

    def get_text_features(self, input_ids: Tensor, **_: Any) -> Tensor:
        """Token numbers [B, L] -> CLAP's one vector [B, D]."""
        return torch.zeros(len(input_ids), self.config.projection_dim)

    def get_input_embeddings(self) -> Callable[[Tensor], Tensor]:
        """Token numbers [B, L] -> [B, L, D]."""
        return lambda input_ids: torch.zeros(*input_ids.shape, self.config.hidden_size)

    def _update_model_kwargs_for_generation(self, output: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Of a language model: what it is told next."""
        return kwargs

    def forward(self, input_ids: Any = None, *_: Any, inputs_embeds: Any = None, **__: Any) -> Any:
        """Token numbers [B, L], or their embeddings -> states [B, L, D], the same for each layer, and pooled [B, D]."""
        from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling
        from transformers.models.clip.modeling_clip import CLIPTextModelOutput

        inner = (getattr(self.config, name, None) for name in ("text_config", "encoder"))
        config = next(filter(None, inner), self.config)
        shape = input_ids.shape if inputs_embeds is None else inputs_embeds.shape[:2]
        states = torch.zeros(*shape, config.hidden_size)
        layers = (states,) * (1 + config.num_hidden_layers)
        if self.projected:
            pooled = torch.zeros(len(states), config.projection_dim)
            return CLIPTextModelOutput(text_embeds=pooled, last_hidden_state=states, hidden_states=layers)
        if type(config).__name__.startswith("CLIP"):
            return BaseModelOutputWithPooling(states, states[:, 0], hidden_states=layers)
        return BaseModelOutput(states, hidden_states=layers)


def outline(
    kind: Any,
    folder: Path,
    index: Mapping[str, Any],
    needed: Sequence[str],
    options: Mapping[str, Any],
    read: Mapping[str, Callable[[nn.Module], nn.Module]],
) -> tuple[Any, list[Part]]:
    """(diffusers' pipeline of a class, its parts); a pipeline without weights, whose text encoders are `Reader`s. Of
    the folder only configurations and tokenizers are read, those of the parts that are needed. read: what stands in the
    place of other parts that prompts pass through."""
    made: dict[str, Any] = {name: None for name, given in index.items() if isinstance(given, list)}
    parts: list[Part] = []
    for name in needed:
        library, own = index[name]
        made[name], part = _made(name, getattr(_library(library), own), folder / name)
        parts += [part] if part is not None else []
        made[name] = read[name](made[name]) if name in read else made[name]
    known = inspect.signature(kind.__init__).parameters
    plain = {k: v for k, v in index.items() if k in known and not isinstance(v, list)}
    return kind(**(made | plain | {k: v for k, v in options.items() if k in known})), parts


def bare(pipe: Any) -> None:
    """The buffers of a pipeline's parts to where their weights are: a family has read the numbers that it needs."""
    for part in modules(pipe):
        if any(weights.is_meta for weights in part.parameters()):
            nn.Module.to(part, "meta")


def part_of(name: str, module: nn.Module, folder: Path | None = None) -> Part:
    """What is to be counted of a module with weights, on whatever device. folder: of its configuration and files."""
    layers = [one for one in module.modules() if not list(one.children())]
    layer, listed = max(map(size, layers), default=0), blocks(module)
    rest = size(module) - sum(map(size, listed))
    block = rest + max(map(size, listed)) if listed else layer
    fewer = None if folder is None else kept(folder)
    about = {"kept": fewer, "stored": stored(folder) if folder and fewer else None}
    return Part(name=name, kind=type(module).__name__, parameters=size(module), block=block, layer=layer, **about)


def size(module: nn.Module) -> int:
    """Parameters, each counted once."""
    return sum(p.numel() for p in module.parameters())


def zeros(part: nn.Module) -> nn.Module:
    """A small part that is run as it is, with weights that are all zero."""
    part = part.to_empty(device="cpu")
    for weights in part.parameters():
        nn.init.zeros_(weights)
    return part


def _library(name: str) -> Any:
    """diffusers, transformers, or diffusers' own module beside its pipelines."""
    return importlib.import_module(name if name in ("diffusers", "transformers") else f"diffusers.pipelines.{name}")


def _made(name: str, kind: Any, folder: Path) -> tuple[Any, Part | None]:
    """(a part, what is counted of it)."""
    from accelerate import init_empty_weights

    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        return kind.from_pretrained(folder, local_files_only=True), None
    with init_empty_weights(include_buffers=False):
        if not hasattr(kind, "config_class") or kind.config_class is None:
            module = kind.from_config(kind.load_config(folder, local_files_only=True))
            return module, part_of(name, module, folder)
        config = kind.config_class.from_pretrained(folder, local_files_only=True)
        module = kind(config)
    module.tie_weights()  # which are counted once
    if not name.startswith(("text_encoder", "language_model")):
        return module, part_of(name, module, folder)
    named = type(kind.__name__, (Reader,), {})  # by whose name it is known what it reads
    return named(config, kind.__name__.endswith("WithProjection")), part_of(name, module, folder)
