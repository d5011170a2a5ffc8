"""Pictures as prompts: IP-Adapter (arXiv 2308.06721) on the U-Net of a pipeline of diffusers.

While adapters are on, the U-Net attends to what their image encoder saw in pictures as well as to the text. They are
put on for a request, and what was there before is put back after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import _whole as whole
from ._files import fingerprint
from ._quiet import quiet

ENCODER = "image_encoder"
PART = "ip_image_proj"  # what diffusers calls such a U-Net
PLAIN, FULL, PLUS = "proj.weight", "proj.3.weight", "latents"  # weights that tell the projections apart


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureAdapter:
    """A file, and the image encoder that it was made for. plain: whether it takes the one vector of a picture, and not
    what the encoder saw everywhere."""

    path: str
    hash: str
    tensors: Mapping[str, Mapping[str, Tensor]]
    encoder: Any
    plain: bool

    @torch.no_grad()
    def seen(self, pictures: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """PIL pictures -> (what is seen in them, what is seen in nothing), each [1, pictures, ...]."""
        from transformers import CLIPImageProcessor

        side = self.encoder.config.image_size
        pixels = CLIPImageProcessor(size=side, crop_size=side)(list(pictures), return_tensors="pt").pixel_values
        pixels = pixels.to(self.encoder.device, self.encoder.dtype)
        if self.plain:
            found = self.encoder(pixels).image_embeds
            return found[None].cpu(), torch.zeros_like(found)[None].cpu()
        both = (self.encoder(each, output_hidden_states=True) for each in (pixels, torch.zeros_like(pixels)))
        found, nothing = (each.hidden_states[-2][None].cpu() for each in both)
        return found, nothing


@dataclass(eq=False)
class Shown:
    """The U-Net of a pipeline, and which adapters are on it."""

    pipe: Any
    plain: tuple[Any, Any, Any] | None = None
    made: dict[tuple[str, ...], tuple[Any, Any]] = field(default_factory=dict)

    def read(self, path: str | Path, encoder: str | Path | None = None) -> PictureAdapter:
        """A .safetensors file, and the folder of its image encoder: `image_encoder` beside it, if none is named."""
        file = Path(path)
        folder = file.parent / ENCODER if encoder is None else Path(encoder)
        if not file.is_file() or file.suffix != ".safetensors":
            raise ValueError(f"an IP-Adapter is a .safetensors file, and {path} is not")
        if not (folder / "config.json").is_file():
            raise ValueError(f"the IP-Adapter {path} needs its image encoder: there is no folder {folder}")
        tensors = _load(file)
        hash = fingerprint([file, *sorted(folder.glob("*.safetensors"))])
        plain = PLAIN in tensors["image_proj"]
        return PictureAdapter(path=str(path), hash=hash, tensors=tensors, encoder=_encoder(folder), plain=plain)

    def put(self, adapters: Sequence[tuple[PictureAdapter, float]]) -> None:
        """These on the U-Net, with their weights, and no others; none: as it was."""
        unet = self.pipe.unet
        if self.plain is None:  # what was there is put back at once
            self.plain = (*self._taken(), unet.config.encoder_hid_dim_type)
        if not adapters:
            self._set(*self.plain)
            return
        key = tuple(adapter.hash for adapter, _ in adapters)
        if key not in self.made:
            self._set(*self.plain)
            try:
                with quiet():
                    unet._load_ip_adapter_weights([adapter.tensors for adapter, _ in adapters], low_cpu_mem_usage=False)
            except (RuntimeError, KeyError) as error:
                self._set(*self.plain)
                paths = " and ".join(adapter.path for adapter, _ in adapters)
                said = "; ".join(filter(None, map(str.strip, str(error).splitlines()[1:2]))) or str(error)
                raise ValueError(f"{paths} does not fit the model's U-Net: {said}") from error
            self.made = {key: self._taken()}
        self._set(*self.made[key], PART)
        for processor in unet.attn_processors.values():
            if hasattr(processor, "scale"):
                processor.scale = [weight for _, weight in adapters]

    def _taken(self) -> tuple[Mapping[str, Any], Any]:
        """What is on the U-Net, taken off: a projection has attention of its own, which is not the U-Net's."""
        projection, self.pipe.unet.encoder_hid_proj = self.pipe.unet.encoder_hid_proj, None
        return self.pipe.unet.attn_processors, projection

    def _set(self, processors: Mapping[str, Any], projection: Any, kind: Any) -> None:
        unet = self.pipe.unet
        unet.encoder_hid_proj = None
        unet.set_attn_processor(dict(processors))
        unet.encoder_hid_proj = projection
        unet.config.encoder_hid_dim_type = kind


def _load(file: Path) -> dict[str, dict[str, Tensor]]:
    from safetensors.torch import load_file

    tensors: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in load_file(file).items():
        part, _, name = key.partition(".")
        if part in tensors:
            tensors[part][name] = tensor
    if not all(tensors.values()):
        raise ValueError(f"{file} is no IP-Adapter: it lacks image_proj or ip_adapter")
    if not any(name in tensors["image_proj"] for name in (PLAIN, FULL, PLUS)):
        raise ValueError(f"{file} is an IP-Adapter of another kind (FaceID), whose encoder is not supported")
    return tensors


def _encoder(folder: Path) -> Any:
    from transformers import CLIPVisionModelWithProjection

    with quiet():
        made = CLIPVisionModelWithProjection.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    whole.check("image encoder", made)
    return made.eval().requires_grad_(False)


def told(cond: Mapping[str, Any]) -> dict[str, Any]:
    """What a condition has seen in pictures, as a U-Net takes it."""
    names = sorted((name for name in cond if name.startswith("picture ")), key=lambda name: int(name.split()[1]))
    return {"image_embeds": [cond[name] for name in names]} if names else {}
