"""Control branches of this project's own transformers, as `mediagen train` writes them: control.safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import config
from ..autoencoders.base import LatentSpec, on_grid
from ..backbones.control import FILE, Control
from ..backbones.dit import DiT, DiTConfig
from ..request import Control as Asked
from ..training import weights
from ._control import summed
from ._files import fingerprint, refuse_pointer
from ._hub import place_of


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnControl:
    """A control branch beside the transformer `net`, whose media have the latents of `spec`."""

    path: str
    hash: str
    branch: Control
    net: DiT
    spec: LatentSpec

    def check(self, asked: Asked) -> None:
        """ValueError unless the branch can be asked for this."""
        if asked.mode is not None or asked.guess:
            raise ValueError(f"{self.path} is a control branch of this project's: leave out mode and guess")

    def alone(self, asked: Asked) -> bool:
        """It leads what guidance leads away from too."""
        return False

    @torch.no_grad()
    def shown(self, picture: Tensor) -> Tensor:
        """A picture [1, 3, H, W], or a clip [1, 3, F, H, W], in [-1, 1] -> its entry of the condition [1, C, *grid]."""
        return on_grid(picture, self.spec)

    def __call__(
        self, x: Tensor, t: Tensor, cond: Mapping[str, Any], entry: Tensor, asked: Asked
    ) -> dict[str, tuple[Tensor, ...]]:
        """What is added after the first blocks, and what the condition has already, added up."""
        first, there = next(self.branch.parameters()), next(self.net.parameters())
        if first.dtype != there.dtype or first.device != there.device:
            self.branch.to(there.device, there.dtype)
        added = self.branch(self.net, x, t, cond, entry.to(there.device))
        return {"control": summed(cond.get("control"), tuple(each * asked.weight for each in added))}


def reader(net: nn.Module, spec: LatentSpec) -> Callable[[str], OwnControl] | None:
    """path -> the control branch that lies there, for this network; None for a network that has none."""
    if not isinstance(net, DiT) or spec.media_channels != 3:
        return None

    def read(path: str) -> OwnControl:
        place = place_of(path, "a control network")
        file = place / FILE if place.is_dir() else Path(place)
        if not file.is_file():
            raise ValueError(f"a control network of this model is a folder with {FILE}, and {path} is none")
        refuse_pointer(file)
        branch = _load(file, net.config)
        return OwnControl(path=str(path), hash=fingerprint([file]), branch=branch, net=net, spec=spec)

    return read


def _load(file: Path, sizes: DiTConfig) -> Control:
    tensors, about = weights.load(file)
    if about.get("kind") != "control":
        raise ValueError(f"{file} holds no control branch, but a {about.get('kind')}")
    other = config.build(DiTConfig, about["network"], f"{file}: network")
    for name, own in config.plain(sizes).items():
        if (its := config.plain(other)[name]) != own:
            raise ValueError(f"the control branch {file} was made for another model: its {name} is {its}, not {own}")
    with torch.device("meta"):
        branch = Control(sizes, about["channels"], about["depth"])
    weights.fit(branch, tensors, file)
    return branch.eval().requires_grad_(False)
