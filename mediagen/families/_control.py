"""Control networks (ControlNet, arXiv 2302.05543) as diffusers has them: a picture -> residuals for the denoiser.

What they are shown travels as an entry of the condition on the latent grid, a picture's pixels folded into channels or
its latents, so that windows of a large picture each see their own part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..nn.conv import fold, unfold
from .published import fingerprint

Residuals = dict[str, tuple[Tensor, ...]]
Call = Callable[[nn.Module, Tensor, Tensor, Mapping[str, Any], Tensor, float], Residuals]


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """A family's control networks. name: their class in diffusers; alike: settings that they have in common with the
    denoiser; call: (network, x, t, cond, entry, weight) -> residuals by name; code: (picture [1, 3, H, W] in [-1, 1],
    settings) -> its entry of the condition [1, C, h, w]; plain: settings and the only values that are supported."""

    name: str
    alike: tuple[str, ...]
    call: Call
    code: Callable[[Tensor, Mapping[str, Any]], Tensor]
    plain: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlNet:
    """A control network beside the network `net` (`_adapters.Net`) that its residuals are for."""

    path: str
    hash: str
    network: nn.Module
    kind: Kind
    net: Any

    @torch.no_grad()
    def shown(self, picture: Tensor) -> Tensor:
        """A picture [1, 3, H, W], or a clip [1, 3, F, H, W], in [-1, 1] -> its entry of the condition [1, C, *grid]."""
        return self.kind.code(picture, self.network.config)

    def __call__(self, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, weight: float) -> Residuals:
        """Its residuals, and those that the condition has already, added up."""
        place, dtype = self.net.place, x.dtype
        first = next(self.network.parameters())
        if first.dtype != dtype or first.device != place:
            self.network.to(place, dtype)
        there = {name: _cast(value, place, dtype) for name, value in cond.items()}
        own = self.kind.call(self.network, x.to(place), t.to(place), there, entry.to(place, dtype), weight)
        return {name: summed(cond.get(name), residuals) for name, residuals in own.items()}


def _cast(value: Any, place: torch.device, dtype: torch.dtype) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(place, dtype) if value.is_floating_point() else value.to(place)


def summed(before: Sequence[Tensor] | None, more: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The residuals of one control network and of those before it. ValueError unless they are as many."""
    if before is None:
        return tuple(more)
    if len(before) != len(more):
        raise ValueError(f"control networks of {len(before)} and {len(more)} layers cannot act together")
    return tuple(a + b for a, b in zip(before, more, strict=True))


def reader(denoiser: nn.Module, net: Any, kind: Kind) -> Callable[[str], ControlNet]:
    """path -> the control network that lies there, for this network of diffusers in our `net`."""

    def read(path: str) -> ControlNet:
        network, hash = _load(path, kind, denoiser.config)
        return ControlNet(path=str(path), hash=hash, network=network, kind=kind, net=net)

    return read


def _load(path: str, kind: Kind, denoiser: Mapping[str, Any]) -> tuple[nn.Module, str]:
    import diffusers

    from ._adapters import quiet
    from ._adapting import place_of

    folder = place_of(path, "a control network")
    files = sorted(f for f in folder.glob("*.safetensors") if "." not in f.stem) if folder.is_dir() else []
    if not files or not (folder / "config.json").is_file():
        raise ValueError(f"a control network is a folder with config.json and .safetensors weights, and {path} is not")
    made = getattr(diffusers, kind.name)
    try:
        with quiet():
            _check(made.load_config(folder, local_files_only=True), kind, denoiser, path)
            network = made.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except ValueError:
        raise
    except Exception as error:  # diffusers and safetensors each raise their own
        raise ValueError(f"cannot load the control network {path}: {str(error).splitlines()[0]}") from error
    return network.eval().requires_grad_(False), fingerprint(files)


def _check(config: Mapping[str, Any], kind: Kind, denoiser: Mapping[str, Any], path: str) -> None:
    if (name := config.get("_class_name")) != kind.name:
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


def of_unet(vae: Any, told: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda cond: {}) -> Kind:
    """Those of a U-Net. told: cond -> what else they are told."""
    stride = (2 ** (len(vae.config.block_out_channels) - 1),) * 2

    def call(network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, weight: float) -> Residuals:
        side = math.isqrt(entry.shape[1] // 3)
        picture = unfold(entry, (side, side)).add(1).div(2)
        options = {"encoder_hidden_states": cond["text"], "controlnet_cond": picture, "conditioning_scale": weight}
        down, middle = network(x, t, **options, **told(cond), return_dict=False)
        return {"down": tuple(down), "middle": (middle,)}

    alike, plain = ("cross_attention_dim", "block_out_channels"), {"global_pool_conditions": False}
    return Kind(
        name="ControlNetModel", alike=alike, call=call, code=lambda picture, _: fold(picture, stride), plain=plain
    )


def of_frames(vae: Any) -> Kind:
    """Those of a U-Net of pictures, which see the frames of a clip [B, C, F, h, w] one by one."""
    one = of_unet(vae)

    def call(network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, weight: float) -> Residuals:
        count, told = x.shape[2], {"text": cond["text"].repeat_interleave(x.shape[2], 0)}
        return one.call(network, _frames(x), t.repeat_interleave(count), told, _frames(entry), weight)

    def code(clip: Tensor, settings: Mapping[str, Any]) -> Tensor:
        return rearrange(one.code(_frames(clip), settings), "(b f) c h w -> b c f h w", b=len(clip))

    return replace(one, call=call, code=code)


def _frames(clip: Tensor) -> Tensor:
    return rearrange(clip, "b c f h w -> (b f) c h w")


def beside(cond: Mapping[str, Any]) -> dict[str, Any]:
    """The residuals of a condition as a U-Net takes them."""
    if "down" not in cond:
        return {}
    [middle] = cond["middle"]
    return {"down_block_additional_residuals": cond["down"], "mid_block_additional_residual": middle}
