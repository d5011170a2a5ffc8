"""A checkpoint as one file, with the keys of the first release: what people pass on of Stable Diffusion."""

import re
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
RESNET |= {"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
ENDS = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
ENDS |= {f"time_embedding.linear_{i + 1}": f"time_embed.{2 * i}" for i in range(2)}
ENDS |= {f"add_embedding.linear_{i + 1}": f"label_emb.0.{2 * i}" for i in range(2)}
LOOK = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def single(folder: Path, file: Path) -> Path:
    """The weights of a folder of Stable Diffusion 1 in one file."""
    text = {
        re.sub(r"^(?!text_model\.)", "text_model.", key): value for key, value in part(folder, "text_encoder").items()
    }
    return save(pictured(folder) | {f"cond_stage_model.transformer.{key}": value for key, value in text.items()}, file)


def part(folder: Path, name: str) -> dict[str, Tensor]:
    return load_file(next((folder / name).glob("*.safetensors")))


def save(whole: dict[str, Tensor], file: Path) -> Path:
    save_file({key: value.contiguous() for key, value in whole.items()}, file)
    return file


def pictured(folder: Path) -> dict[str, Tensor]:
    """U-Net and autoencoder of a folder."""
    unet = part(folder, "unet")
    layers = len({key.split(".")[3] for key in unet if key.startswith("down_blocks.0.resnets.")})
    return {f"model.diffusion_model.{of_unet(key, layers)}": value for key, value in unet.items()} | coder(folder)


def coder(folder: Path) -> dict[str, Tensor]:
    vae = part(folder, "vae")
    ups = len({key.split(".")[2] for key in vae if key.startswith("decoder.up_blocks.")})
    return dict(of_vae(key, value, ups) for key, value in vae.items())


def of_unet(key: str, layers: int) -> str:
    """layers: resnets of a level going down; going up there is one more."""
    head, _, end = key.rpartition(".")
    if head in ENDS:
        return f"{ENDS[head]}.{end}"
    way, level, kind, number, rest = re.fullmatch(r"(down|mid|up)_block(?:s\.(\d+))?\.(\w+)\.(\d+)\.(.*)", key).groups()
    if kind == "resnets":
        for new, old in RESNET.items():
            rest = rest.replace(new, old)
    if way == "mid":
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(number)}.{rest}"
    column = int(kind == "attentions")
    if way == "down":
        block = 1 + int(level) * (layers + 1) + int(number)
        lower = f"input_blocks.{(int(level) + 1) * (layers + 1)}.0.op.{end}"
        return lower if kind == "downsamplers" else f"input_blocks.{block}.{column}.{rest}"
    block = int(level) * (layers + 1) + int(number)
    # the first level of a tiny U-Net that goes up has no attention, those after it have
    upper = f"output_blocks.{int(level) * (layers + 1) + layers}.{1 + (level != '0')}.conv.{end}"
    return upper if kind == "upsamplers" else f"output_blocks.{block}.{column}.{rest}"


def of_vae(key: str, value: Tensor, ups: int) -> tuple[str, Tensor]:
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    key = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", key)
    key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", key)
    key = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{ups - 1 - int(m[1])}.block.", key)
    key = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"up.{ups - 1 - int(m[1])}.upsample.", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    if "mid_block.attentions.0." in key:
        for new, old in LOOK.items():
            key = key.replace(f".{new}.", f".{old}.")
        key = key.replace("mid_block.attentions.0.", "mid.attn_1.")
        value = value[..., None, None] if value.ndim == 2 else value
    return f"first_stage_model.{key}", value
