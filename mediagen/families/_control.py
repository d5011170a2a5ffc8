"""Control networks (ControlNet, arXiv 2302.05543) as diffusers has them: a picture -> residuals for the U-Net.

A picture travels to the network as an entry of the condition on the latent grid, its pixels folded into channels, so
that windows of a large picture each see their own part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.conv import fold, unfold
from .published import fingerprint

CLASS = "ControlNetModel"
ALIKE = ("cross_attention_dim", "block_out_channels", "in_channels")  # what it must have in common with the U-Net
Call = Callable[[nn.Module, Tensor, Tensor, Mapping[str, Any], Tensor, float], Mapping[str, tuple[Tensor, ...]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlNet:
    """A control network of a U-Net. call: (network, x, t, cond, picture, weight) -> residuals by name; net: the
    `_adapters.Net` that they are for, beside which it runs; stride: pixels of a latent position."""

    path: str
    hash: str
    network: nn.Module
    call: Call
    net: Any
    stride: tuple[int, ...]

    def shown(self, picture: Tensor) -> Tensor:
        """A picture [1, 3, H, W] in [-1, 1] -> its entry of the condition [1, C, h, w]."""
        return fold(picture, self.stride)

    def __call__(self, x: Tensor, t: Tensor, cond: Mapping[str, Any], shown: Tensor, weight: float) -> dict[str, Any]:
        """Its residuals, and those that the condition has already, added up."""
        place = self.net.place
        self._follow(x.dtype, place)
        told = {k: v.to(place, x.dtype) for k, v in cond.items() if isinstance(v, Tensor) and v.is_floating_point()}
        picture = unfold(shown.to(place), self.stride).add(1).div(2).to(x.dtype)
        own = self.call(self.network, x.to(place), t.to(place), cond | told, picture, weight)
        return {name: _sum(cond.get(name), residuals) for name, residuals in own.items()}

    def _follow(self, dtype: torch.dtype, place: torch.device) -> None:
        """To where the U-Net runs, in its dtype."""
        first = next(self.network.parameters())
        if first.dtype != dtype or first.device != place:
            self.network.to(place, dtype)


def _sum(before: Sequence[Tensor] | None, more: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(more) if before is None else tuple(a + b for a, b in zip(before, more, strict=True))


def reader(pipe: Any, net: Any, call: Call) -> Callable[[str], ControlNet]:
    """path -> the control network that lies there, for the U-Net of this pipeline."""
    stride = (2 ** (len(pipe.vae.config.block_out_channels) - 1),) * 2

    def read(path: str) -> ControlNet:
        network, hash = _load(path, pipe.unet.config)
        return ControlNet(path=str(path), hash=hash, network=network, call=call, net=net, stride=stride)

    return read


def _load(path: str, unet: Mapping[str, Any]) -> tuple[nn.Module, str]:
    from diffusers import ControlNetModel

    from ._adapters import quiet
    from ._adapting import place_of

    folder = place_of(path, "a control network")
    files = sorted(f for f in folder.glob("*.safetensors") if "." not in f.stem) if folder.is_dir() else []
    if not files or not (folder / "config.json").is_file():
        raise ValueError(f"a control network is a folder with config.json and .safetensors weights, and {path} is not")
    try:
        with quiet():
            config = ControlNetModel.load_config(folder, local_files_only=True)
            _check(config, unet, path)
            network = ControlNetModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except ValueError:
        raise
    except Exception as error:  # diffusers and safetensors each raise their own
        raise ValueError(f"cannot load the control network {path}: {str(error).splitlines()[0]}") from error
    return network.eval().requires_grad_(False), fingerprint(files)


def _check(config: Mapping[str, Any], unet: Mapping[str, Any], path: str) -> None:
    if (kind := config.get("_class_name")) != CLASS:
        raise ValueError(f"{path} is a {kind}; the model takes control networks of the class {CLASS}")
    for name in ALIKE:
        own, other = (_plain(each.get(name)) for each in (config, unet))
        if own != other and not (name == "in_channels" and own == 4):
            raise ValueError(f"the control network {path} was made for another model: its {name} is {own}, not {other}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def unet_residuals(
    network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any], picture: Tensor, weight: float, **added: Any
) -> dict[str, tuple[Tensor, ...]]:
    """Those of a U-Net's control network."""
    options = {"encoder_hidden_states": cond["text"], "controlnet_cond": picture, "conditioning_scale": weight}
    down, middle = network(x, t, **options, **added, return_dict=False)
    return {"down": tuple(down), "middle": (middle,)}


def beside(cond: Mapping[str, Any]) -> dict[str, Any]:
    """The residuals of a condition as a U-Net takes them."""
    if "down" not in cond:
        return {}
    [middle] = cond["middle"]
    return {"down_block_additional_residuals": cond["down"], "mid_block_additional_residual": middle}
