"""Tiny checkpoints of video with random weights, as those of `tiny`: diffusers' own layout, built by its own classes,
the scheduler configurations that were published."""

from pathlib import Path
from typing import Any

import tiny
from tiny import redraw, t5, t5_tokenizer

ZERO = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
COGVIDEOX = tiny.TABLE | ZERO | {"clip_sample": False, "set_alpha_to_one": True, "snr_shift_scale": 3.0}
COGVIDEOX_5B = COGVIDEOX | {"snr_shift_scale": 1.0}


def cogvideox(folder: Path, plan: Any, *, seed: int = 0, picture: bool = False, paired: bool = False) -> Path:
    """CogVideoX, or 1.5, whose network takes latents in pairs; picture: image to video."""
    from diffusers import AutoencoderKLCogVideoX, CogVideoXImageToVideoPipeline, CogVideoXPipeline
    from diffusers import CogVideoXTransformer3DModel as Transformer

    tokenizer = t5_tokenizer()
    kind = {"down_block_types": ("CogVideoXDownBlock3D",) * 3, "up_block_types": ("CogVideoXUpBlock3D",) * 3}
    kind |= {"block_out_channels": (8, 8, 8), "layers_per_block": 1, "norm_num_groups": 2, "latent_channels": 4}
    coder = redraw(AutoencoderKLCogVideoX(scaling_factor=0.7, invert_scale_latents=paired, **kind), seed + 2)
    coder.decoder.conv_out.conv.weight.data *= 0.3
    net = {"num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 8 if picture else 4, "out_channels": 4}
    net |= {"time_embed_dim": 8, "text_embed_dim": 32, "num_layers": 1, "sample_width": 4, "sample_height": 4}
    net |= {"sample_frames": 9, "use_rotary_positional_embeddings": picture or paired}
    net |= {"patch_size_t": 2, "patch_bias": False, "ofs_embed_dim": 8 if picture else None} if paired else {}
    parts = {"tokenizer": tokenizer, "text_encoder": t5(tokenizer, seed + 1), "vae": coder, "scheduler": plan}
    kind = CogVideoXImageToVideoPipeline if picture else CogVideoXPipeline
    kind(transformer=redraw(Transformer(**net), seed + 3), **parts).save_pretrained(folder)
    return folder
