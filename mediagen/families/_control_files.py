"""Files of control networks: folders in diffusers' layout, and single .safetensors files with diffusers' or the
original keys. What a file holds is read from its keys and shapes, and by the kinds that a family knows, never from its
name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import first_line
from ..request import Control
from . import _whole as whole
from ._files import fingerprint, refuse_pointer
from ._hub import place_of
from ._quiet import quiet

Residuals = dict[str, tuple[Tensor, ...]]
Call = Callable[[nn.Module, Tensor, Tensor, Mapping[str, Any], Tensor, Control], Residuals]

HINT, ORIGINAL = "controlnet_cond_embedding.conv_in.weight", "input_hint_block.0.weight"
PREFIX = "control_model."  # of the original networks, in files that hold more
OTHERS = {  # parts of keys -> what it is
    "lora_controlnet": "a Control-LoRA",
    "lllite": "a ControlNet-LLLite",
    "adapter.body": "a T2I-Adapter",
    "difference": "the difference of a control network to a model",
}
LABELS = {  # original -> diffusers, of what is told beside time
    f"label_emb.0.{old}.{part}": f"add_embedding.linear_{new}.{part}"
    for old, new in ((0, 1), (2, 2))
    for part in ("weight", "bias")
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """A family's control networks. name: their class in diffusers; alike: settings that they have in common with the
    denoiser; call: (network, x, t, cond, entry, what was asked for) -> residuals by name; code: (picture [1, 3, H, W]
    in [-1, 1], settings) -> its entry of the condition [1, C, h, w]; plain: settings and the only values that are
    supported; mark: a key of their files that others have not; modes: the setting that says how many kinds of pictures
    a union network knows; unet: whether they are a U-Net's."""

    name: str
    alike: tuple[str, ...]
    call: Call
    code: Callable[[Tensor, Mapping[str, Any]], Tensor]
    plain: Mapping[str, Any]
    mark: str = ""
    modes: str = ""
    unet: bool = False


def read(path: str, kinds: Sequence[Kind], denoiser: Mapping[str, Any]) -> tuple[nn.Module, Kind, str]:
    """The control network that lies there, frozen, its kind and hash. ValueError if there is none, if it cannot be
    read, or was made for another model than that of these settings."""
    place = place_of(path, "a control network")
    folder = place.is_dir() and (place / "config.json").is_file()
    files = sorted(f for f in place.glob("*.safetensors") if "." not in f.stem) if folder else [place]
    if not files or (not folder and place.suffix != ".safetensors"):
        raise ValueError(
            f"a control network is a folder with config.json and .safetensors weights, or one such file, and {path} "
            "is neither"
        )
    keys = {key for file in files for key in _keys(file)}
    if other := next((what for part, what in OTHERS.items() if any(part in key for key in keys)), None):
        raise ValueError(f"{path} holds {other}, and no control network (ControlNet)")
    kind = next((kind for kind in kinds if kind.mark in keys), kinds[0])
    network = _of_folder(place, path, kind, denoiser) if folder else _of_file(place, path, kind, denoiser)
    return network.eval().requires_grad_(False), kind, fingerprint(files)


def _keys(file: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    refuse_pointer(file)
    try:
        with safe_open(str(file), framework="pt") as opened:
            return list(opened.keys())
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot load the control network {file}: {error}") from error


def _of_folder(folder: Path, path: str, kind: Kind, denoiser: Mapping[str, Any]) -> nn.Module:
    import diffusers

    made = getattr(diffusers, kind.name)
    try:
        with quiet():
            check(made.load_config(folder, local_files_only=True), kind, denoiser, path)
            network = made.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except ValueError:
        raise
    except Exception as error:  # diffusers and safetensors each raise their own
        raise ValueError(f"cannot load the control network {path}: {first_line(error)}") from error
    whole.check(f"control network {path}", network)
    return network


def check(config: Mapping[str, Any], kind: Kind, denoiser: Mapping[str, Any], path: str) -> None:
    """ValueError unless a network of these settings is of the kind, and made for this denoiser."""
    if not kind.mark and (name := config.get("_class_name")) != kind.name:
        raise ValueError(f"{path} is a {name}; the model takes control networks of the class {kind.name}")
    for setting in kind.alike:
        own, other = (_listed(each.get(setting)) for each in (config, denoiser))
        if own != other:
            raise ValueError(
                f"the control network {path} was made for another model: its {setting} is {own}, not {other}"
            )
    for setting, value in kind.plain.items():
        if (own := config.get(setting, value)) != value:
            raise ValueError(f"the control network {path} has {setting}={own!r}: only {value!r} is supported")


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _of_file(file: Path, path: str, kind: Kind, denoiser: Mapping[str, Any]) -> nn.Module:
    import diffusers
    from safetensors.torch import load_file

    if not kind.unet:
        raise ValueError(f"control networks of the class {kind.name} are read from folders in diffusers' layout")
    tensors = renamed(load_file(file), path, denoiser)
    made = getattr(diffusers, kind.name)
    settings = sizes(tensors, denoiser)
    check(settings | {"_class_name": kind.name}, kind, denoiser, path)
    known = inspect.signature(made.__init__).parameters
    network = made(**{name: value for name, value in (dict(denoiser) | settings).items() if name in known})
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:40])
        raise ValueError(f"the control network {path} was made for another model: {reason}") from error
    return network


def renamed(tensors: dict[str, Tensor], path: str, denoiser: Mapping[str, Any]) -> dict[str, Tensor]:
    """A network with the original keys or diffusers' -> with diffusers'. ValueError if it is none."""
    if HINT in tensors:
        return tensors
    own = {key.removeprefix(PREFIX): value for key, value in tensors.items() if key.startswith(PREFIX)} or tensors
    if ORIGINAL not in own:
        raise ValueError(f"{path} holds no control network: its keys are {', '.join(list(tensors)[:4])} ...")
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    found = convert_controlnet_checkpoint(own, {"layers_per_block": denoiser["layers_per_block"]})
    found |= {new: own[old] for old, new in LABELS.items() if old in own}
    if missing := [key for key, value in found.items() if value is None]:
        raise ValueError(f"the control network {path} is not whole: nothing in it becomes {missing[0]}")
    return found


def sizes(tensors: Mapping[str, Tensor], denoiser: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a U-Net's control network that its keys and shapes say."""
    levels = range(_count(tensors, "down_blocks."))
    attends = [f"down_blocks.{i}.attentions.0.norm.weight" in tensors for i in levels]
    deep = [_count(tensors, f"down_blocks.{i}.attentions.0.transformer_blocks.") for i in levels]
    middle = _count(tensors, "mid_block.attentions.0.transformer_blocks.")
    hints = range(0, _count(tensors, "controlnet_cond_embedding.blocks."), 2)
    enter = tensors[HINT]
    found: dict[str, Any] = {
        "in_channels": tensors["conv_in.weight"].shape[1],
        "conditioning_channels": enter.shape[1],
        "conditioning_embedding_out_channels": (
            enter.shape[0],
            *(tensors[f"controlnet_cond_embedding.blocks.{i + 1}.weight"].shape[0] for i in hints),
        ),
        "down_block_types": tuple("CrossAttnDownBlock2D" if yes else "DownBlock2D" for yes in attends),
        "block_out_channels": tuple(tensors[f"down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in levels),
        "layers_per_block": _count(tensors, "down_blocks.0.resnets."),
        "mid_block_type": "UNetMidBlock2DCrossAttn" if middle else "UNetMidBlock2D",
        "transformer_layers_per_block": tuple(n or middle or 1 for n in deep),
        "cross_attention_dim": _context(tensors, denoiser),
    }
    return found | _united(tensors)


def _united(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What more there is to say of a union network."""
    if (tasks := tensors.get("task_embedding")) is None:
        return {}
    return {
        "num_control_type": tasks.shape[0],
        "num_trans_channel": tasks.shape[1],
        "num_trans_layer": _count(tensors, "transformer_layes."),
        "num_proj_channel": tensors["spatial_ch_projs.weight"].shape[0],
    }


def _count(tensors: Mapping[str, Tensor], before: str) -> int:
    """How many numbers there are in the keys after these words."""
    return len({key[len(before) :].split(".")[0] for key in tensors if key.startswith(before)})


def _context(tensors: Mapping[str, Tensor], denoiser: Mapping[str, Any]) -> Any:
    """The width of the text that its attention sees; the denoiser's for a network without any."""
    widths = (value.shape[1] for key, value in tensors.items() if key.endswith("attn2.to_k.weight"))
    return next(widths, denoiser["cross_attention_dim"])
