"""LoRA files of diffusers, kohya and peft -> low-rank adapters of the layers of a model.

Whatever a file calls a layer, it is found by its path with dots and underscores taken as the same, behind any of the
names that its part of the model goes by. Files that keep the names of an original release are renamed by diffusers'
own loader of that family first, where there is one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..nn import lora
from ._files import file_of, fingerprint
from ._hub import place_of

Renamed = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]

FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")  # of folders: diffusers' and peft's
OTHERS = ("hada_", "lokr_", "oft_", "dora_scale", "lora_magnitude_vector")  # adapters that are not (only) low-rank
TEXT = {"text_encoder": ("lora_te", "lora_te1"), "text_encoder_2": ("lora_te2",), "text_encoder_3": ("lora_te3",)}
DENOISER = ("diffusion_model", "lora_unet", "lora_transformer", "unet", "transformer", "")  # "": peft's on the module
SPLIT = ({"A": "down", "B": "up"}, {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "out_proj"})

_KEY = re.compile(
    r"(?P<layer>.+?)(?:\.lora_(?P<letter>[AB])(?:\.\w+)??\.weight|\.lora_(?P<kohya>down|up|mid)\.weight|"
    r"[._]lora(?:_linear_layer)?\.(?P<diffusers>down|up)\.weight|(?:[._]lora\.down\.weight)?\.(?P<alpha>alpha))"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lora:
    """A file on a model. layers: its adapters; matched, unmatched: the keys that found their layer, and those that
    did not; texts: whether it changes a text encoder."""

    path: str
    hash: str
    layers: Mapping[nn.Module, lora.LowRank]
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]
    texts: bool = False

    def __str__(self) -> str:
        lost = f"; unmatched: {', '.join(self.unmatched)}" if self.unmatched else ""
        return f"{self.path}: {len(self.matched)} keys on {len(self.layers)} layers{lost}"


def read(path: str | Path, parts: Mapping[str, nn.Module], renamed: Renamed | None = None) -> Lora:
    """A file, a folder of diffusers' or peft's with one, or such a repository -> its adapters.

    parts: the denoiser and the text encoders, by the names that diffusers has for them. renamed: keys -> keys, of other
    releases' names. ValueError for a file that is no LoRA, fits nothing, or fits by its names but not by its shapes.
    """
    file = file_of(place_of(path, "a LoRA"), "a LoRA", FILES)
    hash = fingerprint([file])
    tensors, told = _load(file)
    _refuse_others(tensors, path)
    places = index(parts)
    ways = [tensors, *_renamed(tensors, renamed)] if any(_place(k, places) is None for k in tensors) else [tensors]
    found = max(ways, key=lambda way: sum(_place(key, places) is not None for key in way))
    if not any(_place(key, places) for key in found):
        first = next(iter(tensors), "nothing")
        raise ValueError(f"no key of the LoRA {path} fits a layer of the model: it has {len(tensors)}, {first} ...")
    return _built(path, hash, found, places, Scales.read(file, told))


def _load(file: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """(tensors, what the header says beside them)."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}, opened.metadata() or {}  # noqa: SIM118


def index(parts: Mapping[str, nn.Module]) -> dict[str, tuple[str, nn.Module]]:
    """Every name of every layer, with underscores only -> (part, layer)."""
    found: dict[str, tuple[str, nn.Module]] = {}
    for part, module in parts.items():
        for path, layer in module.named_modules():
            if lora.fits(layer):
                for name in _names(part, path):
                    found.setdefault(name, (part, layer))
    return found


def _names(part: str, path: str) -> Iterator[str]:
    """What files call a layer of a part."""
    reads = part.startswith("text_encoder")
    own = TEXT.get(part, ()) if reads else DENOISER
    paths = [path.replace(".", "_")]
    if reads:  # with a prefix in older files, and in newer models
        bare = paths[0].removeprefix("text_model_")
        paths = [bare, f"text_model_{bare}"]
    for name in dict.fromkeys((part, *own)):
        yield from (f"{name}_{each}" if name else each for each in paths)


def _place(key: str, places: Mapping[str, tuple[str, nn.Module]]) -> tuple[str, str, nn.Module] | None:
    """A key -> (role, layer's name, layer): "down", "up", "mid" or "alpha"; None if it fits none."""
    found = _KEY.fullmatch(key.removeprefix("base_model.model."))
    if found is None:
        return None
    letter = found["letter"]
    role = SPLIT[0][letter] if letter else found["kohya"] or found["diffusers"] or found["alpha"]
    for name in _spelled(found["layer"]):
        if (at := places.get(name.replace(".", "_"))) is not None:
            return role, name, at[1]
    return None


def _spelled(layer: str) -> Iterator[str]:
    """A layer's name, and what the first files of diffusers meant by it."""
    yield layer
    plain = layer.replace(".processor.", ".")
    yield plain
    head, _, last = plain.rpartition(".to_")
    if last == "out":
        yield f"{plain}.0"
    if last in SPLIT[1]:
        yield f"{head}.{SPLIT[1][last]}"


def _renamed(tensors: dict[str, Tensor], renamed: Renamed | None) -> Iterator[Mapping[str, Tensor]]:
    """The file with the names of diffusers, if its loader knows those that it has."""
    if renamed is None:
        return
    try:
        yield renamed(dict(tensors))
    except (ValueError, KeyError, IndexError, AttributeError, RuntimeError):
        return  # it does not: what is left is reported as unmatched


def _refuse_others(tensors: Mapping[str, Tensor], path: Any) -> None:
    kinds = sorted({kind.strip("_") for key in tensors for kind in OTHERS if kind in key})
    if kinds:
        raise ValueError(f"{path} is no plain LoRA, it has {', '.join(kinds)}: merge it into a checkpoint")


@dataclass(frozen=True, kw_only=True)
class Scales:
    """alpha / rank where a file's keys do not say it: its header (diffusers) or the file beside it (peft) does."""

    settings: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path, told: Mapping[str, str]) -> Scales:
        beside = file.parent / "adapter_config.json"
        try:
            if file.name == FILES[1] and beside.is_file():
                return cls(settings={"": json.loads(beside.read_text(encoding="utf-8"))})
            flat = json.loads(told.get("lora_adapter_metadata", "{}"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"the settings of the LoRA {file} cannot be read: {error}") from error
        settings: dict[str, dict[str, Any]] = {}
        for key, value in flat.items():
            part, _, name = key.rpartition(".")
            settings.setdefault(part, {})[name] = value
        return cls(settings=settings)

    def of(self, name: str, rank: int) -> float:
        """name: the layer's, behind the name of its part or not."""
        part, _, rest = name.partition(".")
        given = self.settings.get(part, self.settings.get("", {}))
        own = rest if part in self.settings else name
        alpha = _pattern(given.get("alpha_pattern"), own, given.get("lora_alpha"))
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if given.get("use_rslora") else rank)


def _pattern(patterns: Mapping[str, Any] | None, name: str, plain: Any) -> Any:
    return next((value for key, value in (patterns or {}).items() if re.fullmatch(rf"(.*\.)?{key}", name)), plain)


def _built(path: Any, hash: str, tensors: Mapping[str, Any], places: Any, scales: Scales) -> Lora:
    rows: dict[nn.Module, dict[str, Any]] = {}
    keys: dict[nn.Module, list[str]] = {}
    names: dict[nn.Module, str] = {}
    for key, tensor in tensors.items():
        if (place := _place(key, places)) is not None:
            role, names[place[2]], layer = place
            rows.setdefault(layer, {})[role] = tensor
            keys.setdefault(layer, []).append(key)
    layers = {}
    for layer, row in rows.items():
        if "down" in row and "up" in row:
            layers[layer] = _layer(path, layer, row, scales, names[layer])
    matched = [key for layer in layers for key in keys[layer]]
    texts = any(part.startswith("text_encoder") and layer in layers for part, layer in places.values())
    lost = sorted(set(tensors) - set(matched))
    return Lora(path=str(path), hash=hash, layers=layers, matched=tuple(matched), unmatched=tuple(lost), texts=texts)


def _layer(path: Any, layer: nn.Module, row: Mapping[str, Any], scales: Scales, name: str) -> lora.LowRank:
    rank = row["down"].shape[0]
    scale = float(row["alpha"]) / rank if "alpha" in row else scales.of(name, rank)
    try:
        low = lora.LowRank(layer, row["down"], row["up"], row.get("mid"), scale)
    except ValueError as error:
        raise ValueError(f"the LoRA {path} was made for another model: {name}: {error}") from error
    return low.requires_grad_(False)
