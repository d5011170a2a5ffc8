"""Single files with the keys of the first releases, as in `single`: SDXL, SD3, LTX-Video, and Wan's and Flux's, which
are their transformers alone."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from single import coder, part, pictured, save
from torch import Tensor

Weights = dict[str, Tensor]
DENOISER = "model.diffusion_model."


def renamed(weights: Weights, rules: Sequence[tuple[str, str]], prefix: str = "") -> Weights:
    """Keys by rules (expression, what stands in its place), one after the other."""
    made = {}
    for key, value in weights.items():
        for old, new in rules:
            key = re.sub(old, new, key)
        made[prefix + key] = value
    return made


def joined(weights: Weights, rules: Sequence[tuple[str, str]]) -> Weights:
    """Queries, keys and values as one layer. rules: (expression of the query's key, key of all three)."""
    made = dict(weights)
    for key in weights:
        for old, new in rules:
            if re.search(old, key):
                three = [re.sub(r"q(_proj)?(?=\.\w+$)", lambda m, one=one: one + (m[1] or ""), key) for one in "qkv"]
                made[re.sub(old, new, key)] = torch.cat([made.pop(each) for each in three])
    return made


def swapped(weights: Weights, name: str) -> Weights:
    """Scale and shift in the order of the first release."""
    return {k: torch.cat(v.chunk(2)[::-1]) if k.startswith(name) else v for k, v in weights.items()}


OPEN_CLIP = [
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.", ".attn."),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
]


def sdxl(folder: Path) -> Weights:
    one = renamed(part(folder, "text_encoder"), [(r"^(?!text_model\.)", "text_model.")])
    two = joined(part(folder, "text_encoder_2"), [(r"q_proj\.(\w+)$", r"in_proj_\1")])
    two["text_projection"] = two.pop("text_projection.weight").T
    first = renamed(one, [], "conditioner.embedders.0.transformer.")
    return pictured(folder) | first | renamed(two, OPEN_CLIP, "conditioner.embedders.1.model.")


SD3 = [
    (r"^pos_embed\.proj", "x_embedder.proj"),
    (r"^pos_embed\.pos_embed", "pos_embed"),
    (r"^time_text_embed\.timestep_embedder\.linear_1", "t_embedder.mlp.0"),
    (r"^time_text_embed\.timestep_embedder\.linear_2", "t_embedder.mlp.2"),
    (r"^time_text_embed\.text_embedder\.linear_1", "y_embedder.mlp.0"),
    (r"^time_text_embed\.text_embedder\.linear_2", "y_embedder.mlp.2"),
    (r"^proj_out", "final_layer.linear"),
    (r"^norm_out\.linear", "final_layer.adaLN_modulation.1"),
    (r"^transformer_blocks\.", "joint_blocks."),
    (r"\.attn\.to_out\.0\.", ".x_block.attn.proj."),
    (r"\.attn\.to_add_out\.", ".context_block.attn.proj."),
    (r"\.norm1\.linear\.", ".x_block.adaLN_modulation.1."),
    (r"\.norm1_context\.linear\.", ".context_block.adaLN_modulation.1."),
    (r"\.ff\.net\.0\.proj\.", ".x_block.mlp.fc1."),
    (r"\.ff\.net\.2\.", ".x_block.mlp.fc2."),
    (r"\.ff_context\.net\.0\.proj\.", ".context_block.mlp.fc1."),
    (r"\.ff_context\.net\.2\.", ".context_block.mlp.fc2."),
]
QKV = [(r"attn\.to_q\.", "x_block.attn.qkv."), (r"attn\.add_q_proj\.", "context_block.attn.qkv.")]


def sd3(folder: Path) -> Weights:
    """Its CLIP-L is read without a projection, so its own must be none."""
    net = part(folder, "transformer")
    last = max(int(key.split(".")[1]) for key in net if key.startswith("transformer_blocks."))
    net = swapped(swapped(net, "norm_out.linear"), f"transformer_blocks.{last}.norm1_context.linear")
    whole = renamed(joined(net, QKV), SD3, DENOISER) | coder(folder)
    for name, kept in (("text_encoder", "clip_l"), ("text_encoder_2", "clip_g"), ("text_encoder_3", "t5xxl")):
        whole |= renamed(part(folder, name), [], f"text_encoders.{kept}.transformer.")
    whole.pop("text_encoders.clip_l.transformer.text_projection.weight")
    return whole


LTX_NET = [(r"^proj_in", "patchify_proj"), (r"^time_embed", "adaln_single"), (r"norm_([qk])", r"\1_norm")]
LTX_CODER = [
    (r"^encoder\.mid_block\.", "encoder.down_blocks.9."),
    (r"^encoder\.down_blocks\.1\.downsamplers\.0\.", "encoder.down_blocks.4."),
    (r"^encoder\.down_blocks\.1\.", "encoder.down_blocks.3."),
    (r"^encoder\.down_blocks\.0\.downsamplers\.0\.", "encoder.down_blocks.1."),
    (r"^decoder\.up_blocks\.1\.upsamplers\.0\.", "decoder.up_blocks.2."),
    (r"^decoder\.up_blocks\.1\.", "decoder.up_blocks.3."),
    (r"^decoder\.up_blocks\.0\.", "decoder.up_blocks.1."),
    (r"^decoder\.mid_block\.", "decoder.up_blocks.0."),
    (r"\bresnets\b", "res_blocks"),
    (r"\bnorm3\b", "norm3.norm"),
    (r"conv_shortcut\.conv", "conv_shortcut"),
    (r"^latents_mean", "per_channel_statistics.mean-of-means"),
    (r"^latents_std", "per_channel_statistics.std-of-means"),
]


def ltx(folder: Path) -> Weights:
    """Without its text encoder."""
    net = renamed(part(folder, "transformer"), LTX_NET, DENOISER)
    return net | renamed(part(folder, "vae"), LTX_CODER, "vae.")


WAN = [
    (r"^condition_embedder\.time_embedder\.linear_1", "time_embedding.0"),
    (r"^condition_embedder\.time_embedder\.linear_2", "time_embedding.2"),
    (r"^condition_embedder\.text_embedder\.linear_1", "text_embedding.0"),
    (r"^condition_embedder\.text_embedder\.linear_2", "text_embedding.2"),
    (r"^condition_embedder\.time_proj", "time_projection.1"),
    (r"^proj_out", "head.head"),
    (r"^scale_shift_table", "head.modulation"),
    (r"\bscale_shift_table", "modulation"),
    (r"\battn1\b", "self_attn"),
    (r"\battn2\b", "cross_attn"),
    (r"\.to_out\.0\.", ".o."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\bffn\.net\.0\.proj", "ffn.0"),
    (r"\bffn\.net\.2", "ffn.2"),
    (r"\bnorm2\b", "norm_"),
    (r"\bnorm3\b", "norm2"),
    (r"\bnorm_\.", "norm3."),
]


def wan(folder: Path) -> Weights:
    """Its transformer alone."""
    return renamed(part(folder, "transformer"), WAN)


def flux(folder: Path) -> Weights:
    """Its transformer alone, with diffusers' keys."""
    return part(folder, "transformer")


FLUX = [
    (r"^time_text_embed\.timestep_embedder\.", "time_in."),
    (r"^time_text_embed\.text_embedder\.", "vector_in."),
    (r"^time_text_embed\.guidance_embedder\.", "guidance_in."),
    (r"_in\.linear_1\.", "_in.in_layer."),
    (r"_in\.linear_2\.", "_in.out_layer."),
    (r"^context_embedder\.", "txt_in."),
    (r"^x_embedder\.", "img_in."),
    (r"^proj_out\.", "final_layer.linear."),
    (r"^norm_out\.linear\.", "final_layer.adaLN_modulation.1."),
    (r"^transformer_blocks\.", "double_blocks."),
    (r"\.norm1\.linear\.", ".img_mod.lin."),
    (r"\.norm1_context\.linear\.", ".txt_mod.lin."),
    (r"(double.*)\.attn\.norm_q\.weight", r"\1.img_attn.norm.query_norm.scale"),
    (r"(double.*)\.attn\.norm_k\.weight", r"\1.img_attn.norm.key_norm.scale"),
    (r"\.attn\.norm_added_q\.weight", ".txt_attn.norm.query_norm.scale"),
    (r"\.attn\.norm_added_k\.weight", ".txt_attn.norm.key_norm.scale"),
    (r"\.attn\.to_out\.0\.", ".img_attn.proj."),
    (r"\.attn\.to_add_out\.", ".txt_attn.proj."),
    (r"\.ff\.net\.0\.proj\.", ".img_mlp.0."),
    (r"\.ff\.net\.2\.", ".img_mlp.2."),
    (r"\.ff_context\.net\.0\.proj\.", ".txt_mlp.0."),
    (r"\.ff_context\.net\.2\.", ".txt_mlp.2."),
    (r"^single_transformer_blocks\.", "single_blocks."),
    (r"\.norm\.linear\.", ".modulation.lin."),
    (r"\.attn\.norm_q\.weight", ".norm.query_norm.scale"),
    (r"\.attn\.norm_k\.weight", ".norm.key_norm.scale"),
    (r"(single.*)\.proj_out\.", r"\1.linear2."),
]
FLUX_QKV = [
    (r"^(transformer_blocks\.\d+)\.attn\.to_q\.", r"\1.img_attn.qkv."),
    (r"^(transformer_blocks\.\d+)\.attn\.add_q_proj\.", r"\1.txt_attn.qkv."),
    (r"^(single_transformer_blocks\.\d+)\.attn\.to_q\.", r"\1.linear1."),
]


def flux_first(net: Weights) -> Weights:
    """The weights of a transformer of Flux with the keys of the first release, in which a single block has one layer
    for queries, keys, values and the way up."""
    made = joined(swapped(net, "norm_out.linear"), FLUX_QKV)
    for key in [key for key in made if ".proj_mlp." in key]:
        whole = key.replace("proj_mlp", "linear1")
        made[whole] = torch.cat((made[whole], made.pop(key)))
    return renamed(made, FLUX)


def single(of: Callable[[Path], Weights], folder: Path, file: Path) -> Path:
    return save(of(folder), file)
