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
from ..request import Control
from ._control_files import Kind, Residuals, read
from ._placing import cast
from ._quiet import quiet

UNION = "control_add_embedding.linear_1.weight"  # a key of networks that were trained for several kinds of pictures


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlNet:
    """A control network beside the network `net` (`_adapters.Net`) that its residuals are for."""

    path: str
    hash: str
    network: nn.Module
    kind: Kind
    net: Any

    def check(self, asked: Control) -> None:
        """ValueError unless the network can be asked for this."""
        modes = self.network.config.get(self.kind.modes) or 0
        if modes and (asked.mode is None or not 0 <= asked.mode < modes):
            raise ValueError(
                f"{self.path} is a union network: mode must say what it is shown, 0 to {modes - 1}, not {asked.mode}"
            )
        if asked.mode is not None and not modes:
            raise ValueError(f"{self.path} is no union network: leave out mode")
        if asked.guess and not self.kind.unet:
            raise ValueError(f"guess is for control networks of U-Nets, and {self.path} is a {self.kind.name}")

    def alone(self, asked: Control) -> bool:
        """Whether it leads only what is asked for, and not what guidance leads away from."""
        return asked.guess or self._pooled

    @property
    def _pooled(self) -> bool:
        """Whether its residuals have no place, being means over the picture."""
        return bool(self.network.config.get("global_pool_conditions"))

    @torch.no_grad()
    def shown(self, picture: Tensor) -> Tensor:
        """A picture [1, 3, H, W], or a clip [1, 3, F, H, W], in [-1, 1] -> its entry of the condition [1, C, *grid]."""
        return self.kind.code(picture, self.network.config)

    def __call__(self, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, asked: Control) -> Residuals:
        """Its residuals, and those that the condition has already, added up."""
        place, dtype = self.net.place, x.dtype
        first = next(self.network.parameters())
        if first.dtype != dtype or first.device != place:
            with quiet():
                self.network.to(place, dtype)
        there = {name: cast(value, dtype, place) for name, value in cond.items()}
        own = self._own(x.to(place), t.to(place), there, entry.to(place, dtype), asked)
        return {name: summed(cond.get(name), residuals) for name, residuals in own.items()}

    def _own(self, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, asked: Control) -> Residuals:
        if not self.alone(asked):
            return self.kind.call(self.network, x, t, cond, entry, asked)
        led = entry.flatten(1).any(1)  # what guidance leads away from is shown zeros (`Adapters.unled`)
        if not led.any():
            return {}
        some = {name: value[led] for name, value in cond.items() if isinstance(value, Tensor) and value.ndim}
        found = self.kind.call(self.network, x[led], t[led], some, entry[led], asked)
        found = found if self._pooled else fading(found)
        return {name: tuple(_spread(value, led) for value in values) for name, values in found.items()}


def fading(residuals: Residuals) -> Residuals:
    """Residuals of a network that guesses: those of fine levels are weakest, a tenth (arXiv:2302.05543, 3.4)."""
    down = residuals["down"]
    scales = torch.logspace(-1, 0, len(down) + 1).tolist()
    return residuals | {"down": tuple(each * scale for each, scale in zip(down, scales, strict=False))}


def _spread(value: Tensor, rows: Tensor) -> Tensor:
    """Rows [n k, ...] of the n true ones of `rows`, bool [N], k each -> [N k, ...] with zeros for the others."""
    every = rows.repeat_interleave(len(value) // int(rows.sum()))
    whole = value.new_zeros(len(every), *value.shape[1:])
    whole[every] = value
    return whole


def summed(before: Sequence[Tensor] | None, more: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The residuals of one control network and of those before it. ValueError unless they are as many."""
    if before is None:
        return tuple(more)
    if len(before) != len(more):
        raise ValueError(f"control networks of {len(before)} and {len(more)} layers cannot act together")
    return tuple(a + b for a, b in zip(before, more, strict=True))


@dataclass(frozen=True, eq=False)
class Reader:
    """path -> the control network that lies there, for this network of diffusers in our `net`; the first kind is that
    of files without the mark of another."""

    denoiser: nn.Module
    net: Any
    kinds: tuple[Kind, ...]

    def __call__(self, path: str) -> ControlNet:
        network, kind, hash = read(path, self.kinds, self.denoiser.config)
        return ControlNet(path=str(path), hash=hash, network=network, kind=kind, net=self.net)


def reader(denoiser: nn.Module, net: Any, *kinds: Kind) -> Reader:
    """What reads a family's control networks."""
    return Reader(denoiser, net, kinds)


def of_unet(vae: Any, told: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda cond: {}) -> Kind:
    """Those of a U-Net. told: cond -> what else they are told."""
    stride = (2 ** (len(vae.config.block_out_channels) - 1),) * 2

    def call(network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, asked: Control) -> Residuals:
        options = {"encoder_hidden_states": cond["text"], "conditioning_scale": asked.weight, **told(cond)}
        down, middle = network(x, t, controlnet_cond=_picture(entry), **options, return_dict=False)
        return {"down": tuple(down), "middle": (middle,)}

    return Kind(
        name="ControlNetModel",
        alike=("cross_attention_dim", "block_out_channels"),
        call=call,
        code=lambda picture, _: fold(picture, stride),
        plain={},
        unet=True,
    )


def of_union(vae: Any, told: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Kind:
    """Those of a U-Net that were trained for several kinds of pictures, of which each request shows one."""

    def call(network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, asked: Control) -> Residuals:
        options = {"encoder_hidden_states": cond["text"], "conditioning_scale": asked.weight, **told(cond)}
        mode = torch.zeros(len(x), network.config.num_control_type, dtype=x.dtype, device=x.device)
        mode[:, asked.mode] = 1
        options |= {"control_type": mode, "control_type_idx": [asked.mode]}
        down, middle = network(x, t, controlnet_cond=[_picture(entry)], **options, return_dict=False)
        return {"down": tuple(down), "middle": (middle,)}

    plain = of_unet(vae, told)
    return replace(plain, name="ControlNetUnionModel", call=call, mark=UNION, modes="num_control_type")


def _picture(entry: Tensor) -> Tensor:
    """An entry of the condition -> the picture [B, 3, H, W] in 0 .. 1."""
    side = math.isqrt(entry.shape[1] // 3)
    return unfold(entry, (side, side)).add(1).div(2)


def of_frames(vae: Any) -> Kind:
    """Those of a U-Net of pictures, which see the frames of a clip [B, C, F, h, w] one by one."""
    one = of_unet(vae)

    def call(network: Any, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, asked: Control) -> Residuals:
        count, told = x.shape[2], {"text": cond["text"].repeat_interleave(x.shape[2], 0)}
        return one.call(network, _frames(x), t.repeat_interleave(count), told, _frames(entry), asked)

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
