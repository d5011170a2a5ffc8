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
SEEN = {PLAIN: "proj.weight", FULL: "proj.0.weight", PLUS: "proj_in.weight"}  # [.., channels of what the encoder saw]
TOLD = {PLAIN: "norm.weight", FULL: "proj.3.weight", PLUS: "norm_out.weight"}  # [channels of what the U-Net is told]


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
        """A .safetensors file, and the folder of its image encoder: `image_encoder` beside it, if none is named.
        ValueError for what is none, or was made for another U-Net or encoder."""
        file = Path(path)
        folder = file.parent / ENCODER if encoder is None else Path(encoder)
        if not file.is_file() or file.suffix != ".safetensors":
            raise ValueError(f"an IP-Adapter is a .safetensors file, and {path} is not")
        if not (folder / "config.json").is_file():
            raise ValueError(f"the IP-Adapter {path} needs its image encoder: there is no folder {folder}")
        tensors = _load(file)
        hash = fingerprint([file, *sorted(folder.glob("*.safetensors"))])
        plain, made = PLAIN in tensors["image_proj"], _encoder(folder)
        _check(tensors, self.pipe.unet, made.config, str(path))
        return PictureAdapter(path=str(path), hash=hash, tensors=tensors, encoder=made, plain=plain)

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


def _check(tensors: Mapping[str, Mapping[str, Tensor]], unet: Any, encoder: Any, path: str) -> None:
    """ValueError for shapes of another U-Net, attention by attention, or another image encoder, a configuration."""
    names = [name.removesuffix(".processor") for name in unet.attn_processors if "motion_modules" not in name]
    attends = [unet.get_submodule(name) for name in names if not name.endswith("attn1")]
    wanted = [(one.inner_kv_dim, one.cross_attention_dim) for one in attends]
    for kind in ("to_k_ip.weight", "to_v_ip.weight"):
        rows = {name: tuple(each.shape) for name, each in tensors["ip_adapter"].items() if name.endswith(kind)}
        found = [rows[name] for name in sorted(rows, key=lambda name: int(name.partition(".")[0]))]
        if len(found) != len(wanted):
            said = f"it is for {len(found)} attentions, the model's U-Net has {len(wanted)}"
            raise ValueError(f"the IP-Adapter {path} was made for another model: {said}")
        for number, (its, own) in enumerate(zip(found, wanted, strict=True)):
            if its != own:
                said = f"its attention {number} is {list(its)}, that of the model's U-Net {list(own)}"
                raise ValueError(f"the IP-Adapter {path} was made for another model: {said}")
    rows = tensors["image_proj"]
    kind = next(name for name in (PLAIN, FULL, PLUS) if name in rows)
    if (told := len(rows[TOLD[kind]])) != unet.config.cross_attention_dim:
        said = f"it tells {told} channels, the model's U-Net is told {unet.config.cross_attention_dim}"
        raise ValueError(f"the IP-Adapter {path} was made for another model: {said}")
    sees = encoder.projection_dim if kind == PLAIN else encoder.hidden_size
    if (seen := rows[SEEN[kind]].shape[1]) != sees:
        said = f"it takes {seen} channels, the encoder gives {sees}"
        raise ValueError(f"the IP-Adapter {path} was made for another image encoder: {said}")


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
